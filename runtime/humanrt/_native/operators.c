/* Gives ONNX Runtime the operators of domain `humanrt` that this processor can run: those of amx.c and of int16.c. */
#define _GNU_SOURCE
#include "export.h"
#include "operators.h"

/* What SessionOptions.register_custom_ops_library calls. */
EXPORT OrtStatus *RegisterCustomOps(OrtOptions *options, const OrtApiBase *base);

#if defined(HAVE_INT16_PATH)

EXPORT int32_t humanrt_amx(void);
EXPORT int32_t humanrt_int16(void);

EXPORT OrtStatus *RegisterCustomOps(OrtOptions *options, const OrtApiBase *base) {
    static OrtDomain *domain; /* lives as long as the process: sessions point to it */
    const OrtApi *api = base->GetApi(ORT_API);
    if (!domain) {
        OrtDomain *made;
        TRY(api->CreateCustomOpDomain("humanrt", &made));
#if defined(HAVE_AMX_PATH)
        if (!humanrt_amx()) {
            TRY(api->CustomOpDomain_Add(made, &HUMANRT_AMX_LINEAR));
            TRY(api->CustomOpDomain_Add(made, &HUMANRT_AMX_ATTENTION));
        }
#endif
        if (humanrt_int16()) {
            TRY(api->CustomOpDomain_Add(made, &HUMANRT_INT16_LINEAR));
            TRY(api->CustomOpDomain_Add(made, &HUMANRT_INT16_ATTENTION));
        }
        domain = made;
    }
    return api->AddCustomOpDomain(options, domain);
}

#else

EXPORT OrtStatus *RegisterCustomOps(OrtOptions *options, const OrtApiBase *base) {
    (void)options;
    return failure(base->GetApi(ORT_API), "humanrt: has no operators for this kind of processor");
}

#endif
