/* What the operators for ONNX Runtime share (amx.c, int16.c): reading tensors, memory, what every one of them answers.
 *
 * Functions that one of the sources does not need are not its concern: all are `static inline`.
 */
#ifndef HUMANRT_OPERATORS_H
#define HUMANRT_OPERATORS_H

#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include <malloc.h>
#endif

#include "ort.h"

#define INLINE static inline __attribute__((always_inline))

/* amx.c and int16.c; operators.c gives them to ONNX Runtime. */
#define WITHIN __attribute__((visibility("hidden")))
#if defined(__linux__) && defined(__x86_64__)
#define HAVE_AMX_PATH 1
extern const OrtCustomOp HUMANRT_AMX_LINEAR WITHIN, HUMANRT_AMX_ATTENTION WITHIN;
#endif
#if defined(__x86_64__) || defined(_M_X64)
#define HAVE_INT16_PATH 1
extern const OrtCustomOp HUMANRT_INT16_LINEAR WITHIN, HUMANRT_INT16_ATTENTION WITHIN;
#endif

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Memory at a multiple of 64 bytes, the widest registers' size; null if there is none. */
#if defined(_WIN32)
static inline void *allocate(size_t bytes) { return _aligned_malloc(bytes + !bytes, 64); }
static inline void release(void *memory) { _aligned_free(memory); }
#else
static inline void *allocate(size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes + !bytes) ? NULL : memory;
}
static inline void release(void *memory) { free(memory); }
#endif

enum { MOST_DIMENSIONS = 8 };

typedef struct {
    float *data; /* null: an optional input that is not there */
    size_t rank;
    int64_t size[MOST_DIMENSIONS];
} Tensor;

#define TRY(call)                        \
    do {                                 \
        OrtStatus *status_ = (call);     \
        if (status_) return status_;     \
    } while (0)

static inline OrtStatus *failure(const OrtApi *api, const char *message) { return api->CreateStatus(ORT_FAIL, message); }

static inline OrtStatus *read_tensor(const OrtApi *api, const OrtValue *value, Tensor *out) {
    OrtShape *shape;
    TRY(api->GetTensorTypeAndShape(value, &shape));
    OrtStatus *status = api->GetDimensionsCount(shape, &out->rank);
    if (!status && out->rank > MOST_DIMENSIONS) status = failure(api, "humanrt: too many dimensions");
    if (!status) status = api->GetDimensions(shape, out->size, out->rank);
    api->ReleaseTensorTypeAndShapeInfo(shape);
    TRY(status);
    return api->GetTensorMutableData((OrtValue *)value, (void **)&out->data);
}

static inline OrtStatus *input(const OrtApi *api, const OrtContext *context, size_t index, Tensor *out) {
    size_t count;
    const OrtValue *value = NULL;
    memset(out, 0, sizeof *out);
    TRY(api->KernelContext_GetInputCount(context, &count));
    if (index < count) TRY(api->KernelContext_GetInput(context, index, &value));
    return value ? read_tensor(api, value, out) : NULL;
}

static inline OrtStatus *output(const OrtApi *api, OrtContext *context, const Tensor *shape, float **data) {
    OrtValue *value;
    TRY(api->KernelContext_GetOutput(context, 0, shape->size, shape->rank, &value));
    return api->GetTensorMutableData(value, (void **)data);
}

static inline size_t elements(const Tensor *tensor) {
    size_t product = 1;
    for (size_t i = 0; i < tensor->rank; i++) product *= (size_t)tensor->size[i];
    return product;
}

enum { HEAD = 64 }; /* width of the attention's heads */

/* The tensors of a Linear: x [rows, K], bias [N], residual [rows, N] (the last two may be null), y [rows, N]. */
typedef struct {
    const float *x, *bias, *residual;
    float *y;
    size_t rows;
} LinearTensors;

static inline OrtStatus *linear_weight(const OrtApi *api, const OrtInfo *info, Tensor *weight) {
    int constant = 0;
    const OrtValue *value = NULL;
    TRY(api->KernelInfoGetConstantInput_tensor(info, 1, &constant, &value));
    if (!constant || !value) return failure(api, "humanrt.Linear: the weight must be constant");
    TRY(read_tensor(api, value, weight));
    return weight->rank == 2 ? NULL : failure(api, "humanrt.Linear: the weight must be [K, N]");
}

static inline OrtStatus *linear_tensors(const OrtApi *api, OrtContext *context, size_t depth, size_t columns,
                                        LinearTensors *out) {
    Tensor x, bias, residual;
    TRY(input(api, context, 0, &x));
    TRY(input(api, context, 2, &bias));
    TRY(input(api, context, 3, &residual));
    if (!x.rank || (size_t)x.size[x.rank - 1] != depth) return failure(api, "humanrt.Linear: x must be [..., K]");
    const size_t rows = elements(&x) / (depth ? depth : 1);
    x.size[x.rank - 1] = (int64_t)columns;
    if (bias.data && elements(&bias) != columns) return failure(api, "humanrt.Linear: the bias must be [N]");
    if (residual.data && elements(&residual) != rows * columns)
        return failure(api, "humanrt.Linear: the residual must be [..., N]");
    *out = (LinearTensors){x.data, bias.data, residual.data, NULL, rows};
    return output(api, context, &x, &out->y);
}

/* The tensors of an Attention: qkv [images, tokens, 3 heads HEAD], y [images, tokens, heads HEAD]. */
typedef struct {
    const float *qkv;
    float *y;
    size_t images, tokens;
} AttentionTensors;

static inline OrtStatus *attention_heads(const OrtApi *api, const OrtInfo *info, int64_t *heads) {
    TRY(api->KernelInfoGetAttribute_int64(info, "heads", heads));
    return *heads < 1 ? failure(api, "humanrt.Attention: heads must be 1 or more") : NULL;
}

static inline OrtStatus *attention_tensors(const OrtApi *api, OrtContext *context, int64_t heads,
                                           AttentionTensors *out) {
    Tensor qkv;
    TRY(input(api, context, 0, &qkv));
    if (qkv.rank != 3 || qkv.size[2] != 3 * heads * HEAD)
        return failure(api, "humanrt.Attention: qkv must be [B, T, 3 heads 64]");
    *out = (AttentionTensors){qkv.data, NULL, (size_t)qkv.size[0], (size_t)qkv.size[1]};
    qkv.size[2] /= 3;
    return output(api, context, &qkv, &out->y);
}

static inline int is_float(const OrtCustomOp *op, size_t index) { return (void)op, (void)index, ORT_FLOAT; }
static inline int in_memory(const OrtCustomOp *op, size_t index) { return (void)op, (void)index, 0; }
static inline int required(const OrtCustomOp *op, size_t index) { return (void)op, (void)index, ORT_REQUIRED; }
static inline int first_two_required(const OrtCustomOp *op, size_t index) {
    return (void)op, index < 2 ? ORT_REQUIRED : ORT_OPTIONAL;
}
static inline const char *provider(const OrtCustomOp *op) { return (void)op, "CPUExecutionProvider"; }
static inline size_t one(const OrtCustomOp *op) { return (void)op, 1; }
static inline size_t four(const OrtCustomOp *op) { return (void)op, 4; }

#endif
