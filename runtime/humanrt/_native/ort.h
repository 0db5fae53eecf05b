/* What amx.c calls of ONNX Runtime's C API, and nothing else of it: no header of theirs, no library to link.
 *
 * The API is a table of functions that only ever grows at its end, so a function's place in it is a constant of the
 * interface (onnxruntime_c_api.h, which asserts the places too). `unused` are the functions between those that are
 * called.
 */
#ifndef HUMANRT_ORT_H
#define HUMANRT_ORT_H

#include <stddef.h>
#include <stdint.h>

enum { ORT_API = 18, ORT_FAIL = 1, ORT_INVALID_GRAPH = 10, ORT_FLOAT = 1, ORT_REQUIRED = 0, ORT_OPTIONAL = 1 };
/* Version of OrtCustomOp: the first with kernels that can say why they fail. */
enum { ORT_CUSTOM_OP = 16 };

/* Opaque; all pointers. A status is null when all is well. */
typedef struct OrtStatus OrtStatus;
typedef struct OrtValue OrtValue;
typedef struct OrtShape OrtShape;
typedef struct OrtOptions OrtOptions;
typedef struct OrtDomain OrtDomain;
typedef struct OrtInfo OrtInfo;
typedef struct OrtContext OrtContext;
typedef struct OrtCustomOp OrtCustomOp;

typedef struct {
    OrtStatus *(*CreateStatus)(int code, const char *message); /* 0 */
    void *unused1[25];
    OrtStatus *(*CreateCustomOpDomain)(const char *name, OrtDomain **out); /* 26 */
    OrtStatus *(*CustomOpDomain_Add)(OrtDomain *domain, const OrtCustomOp *op);
    OrtStatus *(*AddCustomOpDomain)(OrtOptions *options, OrtDomain *domain);
    void *unused2[22];
    OrtStatus *(*GetTensorMutableData)(OrtValue *value, void **out); /* 51 */
    void *unused3[9];
    OrtStatus *(*GetDimensionsCount)(const OrtShape *shape, size_t *out); /* 61 */
    OrtStatus *(*GetDimensions)(const OrtShape *shape, int64_t *dimensions, size_t count);
    void *unused4[2];
    OrtStatus *(*GetTensorTypeAndShape)(const OrtValue *value, OrtShape **out); /* 65 */
    void *unused5[20];
    OrtStatus *(*KernelInfoGetAttribute_int64)(const OrtInfo *info, const char *name, int64_t *out); /* 86 */
    void *unused6[1];
    OrtStatus *(*KernelContext_GetInputCount)(const OrtContext *context, size_t *out); /* 88 */
    void *unused7[1];
    OrtStatus *(*KernelContext_GetInput)(const OrtContext *context, size_t index, const OrtValue **out); /* 90 */
    OrtStatus *(*KernelContext_GetOutput)(OrtContext *context, size_t index, const int64_t *dimensions, size_t count,
                                          OrtValue **out);
    void *unused8[7];
    void (*ReleaseTensorTypeAndShapeInfo)(OrtShape *shape); /* 99 */
    void *unused9[149];
    OrtStatus *(*KernelInfoGetConstantInput_tensor)(const OrtInfo *info, size_t index, int *constant,
                                                    const OrtValue **out); /* 249 */
    void *unused10[24];
    OrtStatus *(*KernelContext_ParallelFor)(const OrtContext *context, void (*task)(void *, size_t), size_t tasks,
                                            size_t batches, void *user); /* 274 */
} OrtApi;

_Static_assert(offsetof(OrtApi, KernelContext_ParallelFor) == 274 * sizeof(void *), "the table has holes");
_Static_assert(offsetof(OrtApi, KernelInfoGetConstantInput_tensor) == 249 * sizeof(void *), "the table has holes");
_Static_assert(offsetof(OrtApi, ReleaseTensorTypeAndShapeInfo) == 99 * sizeof(void *), "the table has holes");

typedef struct {
    const OrtApi *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
} OrtApiBase;

struct OrtCustomOp {
    uint32_t version;
    void *(*unused1)(void); /* CreateKernel */
    const char *(*GetName)(const OrtCustomOp *op);
    const char *(*GetExecutionProviderType)(const OrtCustomOp *op);
    int (*GetInputType)(const OrtCustomOp *op, size_t index);
    size_t (*GetInputTypeCount)(const OrtCustomOp *op);
    int (*GetOutputType)(const OrtCustomOp *op, size_t index);
    size_t (*GetOutputTypeCount)(const OrtCustomOp *op);
    void (*unused2)(void); /* KernelCompute */
    void (*KernelDestroy)(void *kernel);
    int (*GetInputCharacteristic)(const OrtCustomOp *op, size_t index);
    int (*GetOutputCharacteristic)(const OrtCustomOp *op, size_t index);
    int (*GetInputMemoryType)(const OrtCustomOp *op, size_t index);
    int (*GetVariadicInputMinArity)(const OrtCustomOp *op);
    int (*GetVariadicInputHomogeneity)(const OrtCustomOp *op);
    int (*GetVariadicOutputMinArity)(const OrtCustomOp *op);
    int (*GetVariadicOutputHomogeneity)(const OrtCustomOp *op);
    OrtStatus *(*CreateKernelV2)(const OrtCustomOp *op, const OrtApi *api, const OrtInfo *info, void **kernel);
    OrtStatus *(*KernelComputeV2)(void *kernel, OrtContext *context);
};

#endif
