/* Linear layers and attention of transformers in integers of 16 bits: two custom operators for ONNX Runtime, domain
 * `humanrt`, for processors without AMX.
 *
 * An instruction that multiplies pairs of 16-bit integers and adds both products to 32 bits does twice what one that
 * multiplies floats does: VPDPWSSD of AVX-512 VNNI; VPMADDWD and VPADDD of AVX2. So every row of the left operand and
 * every column of the right one becomes integers times one scale. They are summed up a block at a time, and the blocks'
 * sums in float. The scale is as fine as it can be while no block's sum can leave 32 bits: by Cauchy and Schwarz, a sum
 * is at most the product of the lengths of row and column within the block, so the longest block of each gets a length
 * of 46330, whose square is below 2^31. (What a sum is in between does not matter: integers wrap around.) Weights get
 * twice that and the rows that they meet half of it: what rounds a weight moves all tokens alike, and does not average
 * out. A weight is rounded by about 2^-15 of its column's mean size; a float16 by 2^-12 of its own.
 *
 *     LinearInt16(x [..., K], weight [K, N], bias [N] or none, residual [..., N] or none)   gelu; weight constant
 *     AttentionInt16(qkv [B, T, 3 heads 64])                                                heads
 *
 * They compute what Linear and Attention of amx.c do. Bias, residual, GELU and softmax are in float.
 *
 * left operand:   rows of integers, padded with zeros
 * right operand:  panels of columns (as many as two registers hold); in a panel, for each two of the dimension summed
 *                 over, the pair of each column
 */
#define _GNU_SOURCE
#include <stdint.h>

#include "export.h"

/* What they run on here; native/__init__.py has the words. */
enum { NOT_HERE = 0, ON_AVX2 = 1, ON_AVX512 = 2 };
EXPORT int32_t humanrt_int16(void);

#if !defined(__x86_64__) && !defined(_M_X64)

EXPORT int32_t humanrt_int16(void) { return NOT_HERE; }

#else

#include <math.h>

#include "avx2.h"
#include "operators.h"

enum { LINEAR_ROWS = 48, QUERY_ROWS = 96 }; /* of one task; multiples of the kernels' rows */

/* What is summed up in integers, multiples of 2 LANES: a linear layer's depth, attention's tokens (queries and keys
 * have HEAD). Shorter blocks are more exact and slower, these by 10 % and 3 % than sums over everything. */
enum { LINEAR_BLOCK = 128, TOKEN_BLOCK = 256 };

/* Whether the variable of native/processor.py names one of the features: for tests. */
static int hidden(const char *const *features) {
    const char *names = getenv("HUMANRT_HIDE_CPU"), *between = ", \t\n\v\f\r";
    for (; names && *(names += strspn(names, between)); names += strcspn(names, between))
        for (const char *const *one = features; *one; one++)
            if (strcspn(names, between) == strlen(*one) && !strncmp(names, *one, strlen(*one))) return 1;
    return 0;
}

/* What the code for each set of instructions needs, as Linux names it. */
static const char *const NEED_AVX2[] = {"avx2", "fma", NULL};
static const char *const NEED_AVX512[] = {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_vnni", NULL};

EXPORT int32_t humanrt_int16(void) {
    unsigned a, b, c, d, low, high;
    if (!has_avx2() || hidden(NEED_AVX2)) return NOT_HERE;
    const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    if ((b & avx512) != avx512 || !(c & 1u << 11) || hidden(NEED_AVX512)) return ON_AVX2;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & 0xe6) == 0xe6 ? ON_AVX512 : ON_AVX2; /* the system saves the widest registers */
}

/* Lengths of a block: of a row and a column of attention, of a row and a column of a linear layer. */
static const float EVEN = 46330, ROW = 23165, WEIGHT = 92660;

/* The integer for the largest value, 1, when the length of the longest block is `norm` and shall be `length`. The
 * length of what rounding adds is at most half the root of the block's size. */
static inline float largest_integer(float norm, size_t block, float length) {
    length -= 0.5f * sqrtf((float)block);
    return norm > 0 && length / norm < 32767 ? length / norm : 32767;
}

static inline size_t padded_depth(size_t depth) { return (depth + 31) / 32 * 32; }

typedef struct Kernels Kernels;

typedef struct {
    const OrtApi *api;
    size_t depth, columns; /* K, N */
    int64_t gelu;
    int32_t *weight; /* right operand */
    float *scales;   /* of its columns */
    const Kernels *kernels;
} Linear;

typedef struct {
    const Linear *linear;
    LinearTensors given;
    int failed;
} LinearRun;

typedef struct {
    const OrtApi *api;
    int64_t heads;
    const Kernels *kernels;
} Attention;

typedef struct {
    AttentionTensors given;
    size_t heads;
    int32_t *keys, *values;           /* right operands, head after head */
    float *key_scales, *value_scales; /* of their columns */
    float *sound;                     /* of each head's keys and values: 0, or nan if one is not finite */
    int failed;
} AttentionRun;

/* ------------------------------------------------------------------------------------------ AVX-512 VNNI */

#define NAME(name) name##_avx512
#define CODE __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define LANES 16
#define ROWS 12
#define Floats __m512
#define Integers __m512i
#define SOME(count) ((__mmask16)((count) >= 16 ? 0xffff : (1u << (count)) - 1))
#define ZERO() _mm512_setzero_ps()
#define NONE() _mm512_setzero_si512()
#define ALL(value) _mm512_set1_ps(value)
#define LOAD(from) _mm512_load_ps(from)
#define LOAD_SOME(from, count) _mm512_maskz_loadu_ps(SOME(count), from)
#define LOAD_INTEGERS(from) _mm512_load_si512(from)
#define PAIR(from) _mm512_set1_epi32(*(const int32_t *)(const void *)(from))
#define STORE(to, x) _mm512_store_ps(to, x)
#define STORE_SOME(to, x, count) _mm512_mask_storeu_ps(to, SOME(count), x)
#define STORE_16(to, x) _mm256_store_si256((__m256i *)(void *)(to), _mm512_cvtepi32_epi16(x))
#define STORE_PAIRS(to, low, high) \
    _mm512_storeu_si512(to, _mm512_mask_blend_epi16(0xaaaaaaaa, low, _mm512_slli_epi32(high, 16)))
#define FIRST(x, count) _mm512_maskz_mov_ps(SOME(count), x)
#define FMADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define MAXIMUM(a, b) _mm512_max_ps(a, b)
#define MINIMUM(a, b) _mm512_min_ps(a, b)
#define ABSOLUTE(x) _mm512_abs_ps(x)
#define HIGHEST(x) _mm512_reduce_max_ps(x)
#define SUM(x) _mm512_reduce_add_ps(x)
#define ROUNDED(x) _mm512_cvtps_epi32(x)
#define WHOLE(x) _mm512_roundscale_ps(x, 0)
#define CONVERTED(x) _mm512_cvtepi32_ps(x)
#define TIMES_POWER(y, power) \
    _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(y), _mm512_slli_epi32(power, 23)))
#define NEAR_INVERSE(x) _mm512_rcp14_ps(x)
#define WHERE_NEGATIVE(x, a, b) _mm512_mask_mov_ps(b, _mm512_movepi32_mask(_mm512_castps_si512(x)), a)
#define DOT(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#include "int16_kernels.h"
#undef NAME
#undef CODE
#undef LANES
#undef ROWS
#undef Floats
#undef Integers
#undef SOME
#undef ZERO
#undef NONE
#undef ALL
#undef LOAD
#undef LOAD_SOME
#undef LOAD_INTEGERS
#undef PAIR
#undef STORE
#undef STORE_SOME
#undef STORE_16
#undef STORE_PAIRS
#undef FIRST
#undef FMADD
#undef MAXIMUM
#undef MINIMUM
#undef ABSOLUTE
#undef HIGHEST
#undef SUM
#undef ROUNDED
#undef WHOLE
#undef CONVERTED
#undef TIMES_POWER
#undef NEAR_INVERSE
#undef WHERE_NEGATIVE
#undef DOT

/* -------------------------------------------------------------------------------------------------- AVX2 */

#define NAME(name) name##_avx2
#define CODE __attribute__((target("avx2,fma")))
#define LANES 8
#define ROWS 6
#define Floats __m256
#define Integers __m256i
#define ZERO() _mm256_setzero_ps()
#define NONE() _mm256_setzero_si256()
#define ALL(value) _mm256_set1_ps(value)
#define LOAD(from) _mm256_load_ps(from)
#define LOAD_SOME(from, count) load_some(from, count)
#define LOAD_INTEGERS(from) _mm256_load_si256((const __m256i *)(const void *)(from))
#define PAIR(from) _mm256_set1_epi32(*(const int32_t *)(const void *)(from))
#define STORE(to, x) _mm256_store_ps(to, x)
#define STORE_SOME(to, x, count) store_some(to, x, count)
#define STORE_16(to, x) \
    _mm_store_si128((__m128i *)(void *)(to), _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)))
#define STORE_PAIRS(to, low, high) \
    _mm256_storeu_si256((__m256i *)(void *)(to), _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xaa))
#define FIRST(x, count) _mm256_and_ps(x, _mm256_castsi256_ps(some(count)))
#define FMADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define MAXIMUM(a, b) _mm256_max_ps(a, b)
#define MINIMUM(a, b) _mm256_min_ps(a, b)
#define ABSOLUTE(x) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x)
#define HIGHEST(x) highest_of(x)
#define SUM(x) sum_of(x)
#define ROUNDED(x) _mm256_cvtps_epi32(x)
#define WHOLE(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define CONVERTED(x) _mm256_cvtepi32_ps(x)
#define TIMES_POWER(y, power) \
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(y), _mm256_slli_epi32(power, 23)))
#define NEAR_INVERSE(x) _mm256_rcp_ps(x)
#define WHERE_NEGATIVE(x, a, b) _mm256_blendv_ps(b, a, x)
#define DOT(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))

CODE INLINE __m256i some(size_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)least(count, 8)), lanes);
}
CODE INLINE __m256 load_some(const float *from, size_t count) {
    return count >= 8 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, some(count));
}
CODE INLINE void store_some(float *to, __m256 x, size_t count) {
    if (count >= 8) _mm256_storeu_ps(to, x);
    else _mm256_maskstore_ps(to, some(count), x);
}
CODE INLINE float highest_of(__m256 x) {
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}
CODE INLINE float sum_of(__m256 x) {
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
#include "int16_kernels.h"

/* ------------------------------------------------------------------------------ what ONNX Runtime calls */

struct Kernels {
    size_t panel;
    void (*linear_rows)(void *run, size_t task);
    void (*pack_head)(void *run, size_t task);
    void (*attend)(void *run, size_t task);
};

static const Kernels AVX512 = {PANEL_avx512, linear_rows_avx512, pack_head_avx512, attend_avx512};
static const Kernels AVX2 = {PANEL_avx2, linear_rows_avx2, pack_head_avx2, attend_avx2};

static const Kernels *kernels_here(void) { return humanrt_int16() == ON_AVX512 ? &AVX512 : &AVX2; }

/* w [depth][columns] -> a right operand and its scales, both zeroed. */
static void pack_weight(const float *w, size_t depth, size_t columns, size_t panel, int32_t *out, float *scales) {
    const size_t steps = (depth + 1) / 2;
    for (size_t c = 0; c < columns; c++) {
        float most = 0, sound = 0;
        for (size_t k = 0; k < depth; k++) {
            const float size = fabsf(w[k * columns + c]);
            most = size > most ? size : most;
            sound += 0 * size;
        }
        scales[c] = sound; /* nan if a weight is not finite: so are its column's results */
        if (most <= 1e-30f || sound != 0) continue;
        double longest = 0;
        for (size_t begin = 0; begin < depth; begin += LINEAR_BLOCK) {
            double squares = 0;
            for (size_t k = begin; k < least(begin + LINEAR_BLOCK, depth); k++) squares += pow(w[k * columns + c] / most, 2);
            longest = squares > longest ? squares : longest;
        }
        const float largest = largest_integer((float)sqrt(longest), LINEAR_BLOCK, WEIGHT), scale = largest / most;
        int16_t *to = (int16_t *)(out + c / panel * panel * steps + c % panel);
        for (size_t k = 0; k < depth; k++)
            to[k / 2 * panel * 2 + k % 2] = (int16_t)lrintf(w[k * columns + c] * scale);
        scales[c] = most / largest;
    }
}

static OrtStatus *linear_create(const OrtCustomOp *op, const OrtApi *api, const OrtInfo *info, void **kernel) {
    (void)op;
    int64_t activate;
    Tensor weight;
    TRY(api->KernelInfoGetAttribute_int64(info, "gelu", &activate));
    TRY(linear_weight(api, info, &weight));
    const size_t depth = (size_t)weight.size[0], columns = (size_t)weight.size[1];
    const Kernels *kernels = kernels_here();
    const size_t width = (columns + kernels->panel - 1) / kernels->panel * kernels->panel, steps = (depth + 1) / 2;
    Linear *linear = malloc(sizeof *linear);
    int32_t *memory = allocate(width * (steps + 1) * sizeof *memory);
    if (!linear || !memory) {
        free(linear);
        release(memory);
        return failure(api, "humanrt.LinearInt16: out of memory");
    }
    memset(memory, 0, width * (steps + 1) * sizeof *memory);
    *linear = (Linear){api, depth, columns, activate, memory, (float *)(memory + width * steps), kernels};
    pack_weight(weight.data, depth, columns, kernels->panel, linear->weight, linear->scales);
    *kernel = linear;
    return NULL;
}

static OrtStatus *linear_compute(void *kernel, OrtContext *context) {
    const Linear *linear = kernel;
    LinearRun run = {.linear = linear};
    TRY(linear_tensors(linear->api, context, linear->depth, linear->columns, &run.given));
    const size_t tasks = (run.given.rows + LINEAR_ROWS - 1) / LINEAR_ROWS;
    TRY(linear->api->KernelContext_ParallelFor(context, linear->kernels->linear_rows, tasks, 0, &run));
    return run.failed ? failure(linear->api, "humanrt.LinearInt16: out of memory") : NULL;
}

static void linear_destroy(void *kernel) {
    release(((Linear *)kernel)->weight);
    free(kernel);
}

static OrtStatus *attention_create(const OrtCustomOp *op, const OrtApi *api, const OrtInfo *info, void **kernel) {
    (void)op;
    int64_t heads;
    TRY(attention_heads(api, info, &heads));
    Attention *attention = malloc(sizeof *attention);
    if (!attention) return failure(api, "humanrt.AttentionInt16: out of memory");
    *attention = (Attention){api, heads, kernels_here()};
    *kernel = attention;
    return NULL;
}

static OrtStatus *attention_compute(void *kernel, OrtContext *context) {
    const Attention *attention = kernel;
    const OrtApi *api = attention->api;
    AttentionRun run = {.heads = (size_t)attention->heads};
    TRY(attention_tensors(api, context, attention->heads, &run.given));
    const size_t heads = run.given.images * run.heads, width = padded_depth(run.given.tokens);
    const size_t operand = width * (HEAD / 2);
    run.keys = allocate(heads * (2 * operand + width + HEAD + 2) * sizeof *run.keys);
    if (!run.keys) return failure(api, "humanrt.AttentionInt16: out of memory");
    run.values = run.keys + heads * operand;
    run.key_scales = (float *)(run.values + heads * operand);
    run.value_scales = run.key_scales + heads * width;
    run.sound = run.value_scales + heads * HEAD;
    const size_t blocks = (run.given.tokens + QUERY_ROWS - 1) / QUERY_ROWS;
    OrtStatus *status = api->KernelContext_ParallelFor(context, attention->kernels->pack_head, 2 * heads, 0, &run);
    if (!status)
        status = api->KernelContext_ParallelFor(context, attention->kernels->attend, heads * blocks, 0, &run);
    release(run.keys);
    TRY(status);
    return run.failed ? failure(api, "humanrt.AttentionInt16: out of memory") : NULL;
}

static const char *linear_name(const OrtCustomOp *op) { return (void)op, "LinearInt16"; }
static const char *attention_name(const OrtCustomOp *op) { return (void)op, "AttentionInt16"; }

const OrtCustomOp HUMANRT_INT16_LINEAR = {
    .version = ORT_CUSTOM_OP, .GetName = linear_name, .GetExecutionProviderType = provider,
    .GetInputType = is_float, .GetInputTypeCount = four, .GetOutputType = is_float, .GetOutputTypeCount = one,
    .GetInputCharacteristic = first_two_required, .GetOutputCharacteristic = required, .GetInputMemoryType = in_memory,
    .CreateKernelV2 = linear_create, .KernelComputeV2 = linear_compute, .KernelDestroy = linear_destroy,
};
const OrtCustomOp HUMANRT_INT16_ATTENTION = {
    .version = ORT_CUSTOM_OP, .GetName = attention_name, .GetExecutionProviderType = provider,
    .GetInputType = is_float, .GetInputTypeCount = one, .GetOutputType = is_float, .GetOutputTypeCount = one,
    .GetInputCharacteristic = required, .GetOutputCharacteristic = required, .GetInputMemoryType = in_memory,
    .CreateKernelV2 = attention_create, .KernelComputeV2 = attention_compute, .KernelDestroy = free,
};

#endif
