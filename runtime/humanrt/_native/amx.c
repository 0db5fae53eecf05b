/* Linear layers and attention of transformers on AMX: two custom operators for ONNX Runtime, domain `humanrt`.
 *
 * AMX multiplies bfloat16, which has 8 bits, and sums up in float; ten times as fast as AVX-512 multiplies floats. So a
 * float is written as a sum of bfloat16, its parts, and a product of floats as the products of parts that matter:
 *
 *     3 parts, 24 bits:  x w = x0 w0 + x0 w1 + x1 w0 + x1 w1 + x0 w2 + x2 w0    as exact as float arithmetic
 *     2 parts, 16 bits:  x w ~ x0 w0 + x0 w1 + x1 w0                           to 4e-6, where float has 4e-7
 *
 *     Linear(x [..., K], weight [K, N], bias [N] or none, residual [..., N] or none)   parts, gelu; weight constant
 *         y [..., N] = gelu(x weight + bias) + residual                                (gelu: 0 is none)
 *     Attention(qkv [B, T, 3 heads 64])                                                parts, heads
 *         y [B, T, heads 64] = softmax(q k' / 8) v, for each head
 *
 * A tile is 1 KB: 16 rows of 32 bfloat16. A step is a tile for each part, of 32 values of the dimension summed over.
 *     left operand:  step[s] of 16 rows:     row r holds x[r][32 s ... 32 s + 31]
 *     right operand: step[s] of 16 columns:  row p holds pairs, w[32 s + 2 p][c] and w[32 s + 2 p + 1][c], for each c
 * What lies outside a matrix is zero in its tiles. Work runs in ONNX Runtime's own threads.
 */
#define _GNU_SOURCE
#include <stdint.h>

#include "export.h"

/* Why AMX cannot be used; native.py has the words. */
enum { AMX_WORKS = 0, NOT_LINUX = 1, NO_AMX = 2, REFUSED = 3 };
EXPORT int32_t humanrt_amx(void);

#if !defined(__linux__) || !defined(__x86_64__)

EXPORT int32_t humanrt_amx(void) { return NOT_LINUX; }

#else

#include <cpuid.h>
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "operators.h"

#define AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16")))

enum { TILE = 1024 };
enum { LINEAR_ROWS = 128, QUERY_ROWS = 128 }; /* of one task; multiples of 32 */

EXPORT int32_t humanrt_amx(void) {
    unsigned a, b, c, d;
    const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, amx = 1u << 22 | 1u << 24;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & avx512) != avx512 || (d & amx) != amx) return NO_AMX;
    if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & 1u << 5)) return NO_AMX; /* avx512_bf16 */
    /* Linux keeps the tiles (feature 18) of processes that ask for it: ARCH_REQ_XCOMP_PERM. For all their threads. */
    return syscall(SYS_arch_prctl, 0x1023, 18) ? REFUSED : AMX_WORKS;
}

/* All eight tiles 16 x 64 bytes. Each task sets them up, and gives them back: threads without tiles switch faster. */
AMX static void begin_tiles(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int i = 0; i < 8; i++) shape.bytes[i] = 64, shape.rows[i] = 16;
    _tile_loadconfig(&shape);
}

/* sums [32][32], rows `stride` bytes apart = left (two of 16 rows) times right (two of 16 columns).
 * Four tiles collect; the order of the products keeps loaded tiles for as many of them as can be. With 3 parts the
 * large products come last: all others are a 256th of them, and so is what rounding their sums loses. */
AMX INLINE void multiply(const uint8_t *left0, const uint8_t *left1, const uint8_t *right0, const uint8_t *right1,
                         size_t steps, int parts, float *sums, size_t stride) {
#define LEFT(part) _tile_loadd(4, left0 + at + part * TILE, 64), _tile_loadd(5, left1 + at + part * TILE, 64)
#define RIGHT(part) _tile_loadd(6, right0 + at + part * TILE, 64), _tile_loadd(7, right1 + at + part * TILE, 64)
#define PRODUCT() \
    _tile_dpbf16ps(0, 4, 6), _tile_dpbf16ps(1, 4, 7), _tile_dpbf16ps(2, 5, 6), _tile_dpbf16ps(3, 5, 7)
    const size_t end = steps * (size_t)parts * TILE, step = (size_t)parts * TILE;
    _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
    if (parts == 2) {
        for (size_t at = 0; at < end; at += step) {
            LEFT(0), RIGHT(1), PRODUCT();
            RIGHT(0), PRODUCT();
            LEFT(1), PRODUCT();
        }
    } else {
        for (size_t at = 0; at < end; at += step) {
            LEFT(0), RIGHT(2), PRODUCT();
            RIGHT(1), PRODUCT();
            LEFT(1), PRODUCT();
            RIGHT(0), PRODUCT();
            LEFT(2), PRODUCT();
        }
        for (size_t at = 0; at < end; at += step) LEFT(0), RIGHT(0), PRODUCT();
    }
    float *lower = (float *)((char *)sums + 16 * stride);
    _tile_stored(0, sums, stride), _tile_stored(1, sums + 16, stride);
    _tile_stored(2, lower, stride), _tile_stored(3, lower + 16, stride);
#undef LEFT
#undef RIGHT
#undef PRODUCT
}

/* The nearest bfloat16, as a float. Infinity has a rest of nan, so it does not get lost: the result is nan. */
AMX INLINE __m512 high_part(__m512 x) {
    const __m512i rounded = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
    return _mm512_castsi512_ps(_mm512_and_si512(rounded, _mm512_set1_epi32((int)0xffff0000)));
}

/* 32 neighbours in a row of a left operand. */
AMX INLINE void split_row(__m512 x0, __m512 x1, int parts, uint8_t *tile_row) {
    for (int part = 0; part < parts; part++) {
        const __m512 h0 = high_part(x0), h1 = high_part(x1);
        _mm512_store_si512(tile_row + part * TILE, (__m512i)_mm512_cvtne2ps_pbh(h1, h0));
        x0 = _mm512_sub_ps(x0, h0), x1 = _mm512_sub_ps(x1, h1);
    }
}

/* 16 pairs of a right operand: x0 above x1. */
AMX INLINE void split_pairs(__m512 x0, __m512 x1, int parts, uint8_t *tile_row) {
    for (int part = 0; part < parts; part++) {
        const __m512 h0 = high_part(x0), h1 = high_part(x1);
        const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(h0), 16);
        _mm512_store_si512(tile_row + part * TILE, _mm512_or_si512(low, _mm512_castps_si512(h1)));
        x0 = _mm512_sub_ps(x0, h0), x1 = _mm512_sub_ps(x1, h1);
    }
}

static size_t steps_of(size_t depth) { return (depth + 31) / 32; }

/* As many of the 16 values from `begin` on as lie before `end`. */
static __mmask16 lanes(size_t begin, size_t end) {
    return (__mmask16)(begin >= end ? 0 : (1u << least(end - begin, 16)) - 1);
}

/* x [rows <= 16][depth], rows `stride` floats apart -> steps of a left operand. */
AMX INLINE void pack_left(const float *x, size_t stride, size_t rows, size_t depth, int parts, uint8_t *out) {
    for (size_t r = 0; r < 16; r++) {
        const float *row = x + r * stride;
        const size_t end = r < rows ? depth : 0;
        for (size_t k = 0; k < depth; k += 32) {
            const __m512 x0 = _mm512_maskz_loadu_ps(lanes(k, end), row + k);
            const __m512 x1 = _mm512_maskz_loadu_ps(lanes(k + 16, end), row + k + 16);
            split_row(x0, x1, parts, out + k / 32 * (size_t)parts * TILE + r * 64);
        }
    }
}

/* w [depth][columns], rows `stride` floats apart -> steps of a right operand, for every 16 of the columns.
 * These are made an even number of 16, as `multiply` takes two. */
AMX INLINE void pack_right(const float *w, size_t stride, size_t depth, size_t columns, int parts, uint8_t *out) {
    const size_t steps = steps_of(depth);
    for (size_t c = 0; c < (columns + 31) / 32 * 32; c += 16) {
        const __mmask16 inside = lanes(c, columns);
        for (size_t p = 0; p < steps * 16; p++) {
            const float *row = w + 2 * p * stride + c;
            split_pairs(_mm512_maskz_loadu_ps(2 * p < depth ? inside : 0, row),
                        _mm512_maskz_loadu_ps(2 * p + 1 < depth ? inside : 0, row + stride),
                        parts, out + (c / 16 * steps + p / 16) * (size_t)parts * TILE + p % 16 * 64);
        }
    }
}

/* x [rows <= 16][HEAD] -> steps of a right operand whose columns are the rows of x. */
AMX INLINE void pack_right_transposed(const float *x, size_t stride, size_t rows, int parts, uint8_t *out) {
    pack_left(x, stride, rows, HEAD, parts, out);
    const __m512i row = _mm512_setr_epi32(0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240);
    for (size_t tile = 0; tile < (size_t)parts * (HEAD / 32); tile++) { /* pairs stay together: 16 x 16 of 32 bits */
        int32_t *pairs = (int32_t *)(out + tile * TILE);
        __m512i turned[16];
        for (int p = 0; p < 16; p++) turned[p] = _mm512_i32gather_epi32(row, pairs + p, 4);
        for (int p = 0; p < 16; p++) _mm512_store_si512(pairs + 16 * p, turned[p]);
    }
}

/* 2^x to 2e-7 for x <= 0: what softmax and gelu need. */
AMX INLINE __m512 exp2_negative(__m512 x) {
    const __m512 whole = _mm512_roundscale_ps(x, 0), part = _mm512_sub_ps(x, whole); /* -0.5 to 0.5 */
    __m512 y = _mm512_set1_ps(1.546144746e-4f);
    y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(1.339086735e-3f));
    y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(9.618056670e-3f));
    y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(5.550357104e-2f));
    y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(2.402265092e-1f));
    y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(6.931471880e-1f));
    y = _mm512_fmadd_ps(y, part, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(y, whole);
}

/* x P(X <= x), with the error function of Abramowitz and Stegun, 7.1.26: to 1.5e-7 |x| / 2. */
AMX INLINE __m512 gelu(__m512 x) {
    const __m512 one = _mm512_set1_ps(1);
    const __m512 size = _mm512_min_ps(_mm512_set1_ps(20), _mm512_abs_ps(x)); /* beyond, the tail is 0; nan stays nan */
    const __m512 below = _mm512_fmadd_ps(size, _mm512_set1_ps(0.3275911f * 0.70710678f), one);
    __m512 t = _mm512_rcp14_ps(below);
    t = _mm512_mul_ps(t, _mm512_fnmadd_ps(below, t, _mm512_set1_ps(2))); /* Newton: from 14 bits to all */
    __m512 y = _mm512_set1_ps(1.061405429f);
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(-1.453152027f));
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(1.421413741f));
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(-0.284496736f));
    y = _mm512_fmadd_ps(y, t, _mm512_set1_ps(0.254829592f));
    const __m512 square = _mm512_mul_ps(size, size);
    const __m512 bell = exp2_negative(_mm512_mul_ps(square, _mm512_set1_ps(-0.5f * 1.44269504f)));
    const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(y, t), bell), _mm512_set1_ps(0.5f)); /* P(X > |x|) */
    const __mmask16 negative = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mul_ps(x, _mm512_mask_mov_ps(_mm512_sub_ps(one, tail), negative, tail));
}

/* ------------------------------------------------------------------------------------------------ Linear */

typedef struct {
    const OrtApi *api;
    size_t depth, columns; /* K, N */
    int64_t parts, gelu;
    uint8_t *weight; /* right operand */
} Linear;

typedef struct {
    const Linear *linear;
    const float *x, *bias, *residual; /* the last two may be null */
    float *y;
    size_t rows;
    int failed;
} LinearRun;

/* LINEAR_ROWS rows of the result: few enough for their left operand to stay in the second cache. */
AMX INLINE void linear_rows(LinearRun *run, size_t task, int parts) {
    const size_t depth = run->linear->depth, columns = run->linear->columns;
    const size_t steps = steps_of(depth), band = steps * (size_t)parts * TILE; /* bytes of 16 rows or columns */
    const size_t first = task * LINEAR_ROWS, rows = least(run->rows - first, LINEAR_ROWS), bands = (rows + 31) / 32 * 2;
    uint8_t *left = allocate(bands * band);
    if (!left) {
        run->failed = 1;
        return;
    }
    for (size_t i = 0; i < bands; i++)
        pack_left(run->x + (first + 16 * i) * depth, depth, 16 * i < rows ? least(rows - 16 * i, 16) : 0, depth, parts,
                  left + i * band);
    begin_tiles();
    _Alignas(64) float sums[32][32];
    for (size_t c = 0; c < columns; c += 32) {
        const uint8_t *right = run->linear->weight + c / 16 * band;
        for (size_t r = 0; r < rows; r += 32) {
            const uint8_t *upper = left + r / 16 * band;
            /* What is written in the end comes into the first cache meanwhile. */
            for (size_t i = 0; i < least(rows - r, 32); i++) {
                const size_t at = (first + r + i) * columns + c;
                _mm_prefetch(run->y + at, _MM_HINT_T0), _mm_prefetch(run->y + at + 16, _MM_HINT_T0);
                if (run->residual) {
                    _mm_prefetch(run->residual + at, _MM_HINT_T0);
                    _mm_prefetch(run->residual + at + 16, _MM_HINT_T0);
                }
            }
            multiply(upper, upper + band, right, right + band, steps, parts, sums[0], sizeof sums[0]);
            for (size_t h = c; h < least(c + 32, columns); h += 16) {
                const __mmask16 inside = lanes(h, columns);
                const __m512 bias = run->bias ? _mm512_maskz_loadu_ps(inside, run->bias + h) : _mm512_setzero_ps();
                for (size_t i = 0; i < least(rows - r, 32); i++) {
                    const size_t at = (first + r + i) * columns + h;
                    __m512 y = _mm512_add_ps(_mm512_load_ps(&sums[i][h - c]), bias);
                    if (run->linear->gelu) y = gelu(y);
                    if (run->residual) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(inside, run->residual + at));
                    _mm512_mask_storeu_ps(run->y + at, inside, y);
                }
            }
        }
    }
    _tile_release();
    release(left);
}

AMX static void linear_rows2(void *run, size_t task) { linear_rows(run, task, 2); }
AMX static void linear_rows3(void *run, size_t task) { linear_rows(run, task, 3); }
AMX static void pack_weight2(const float *w, size_t depth, size_t columns, uint8_t *out) {
    pack_right(w, columns, depth, columns, 2, out);
}
AMX static void pack_weight3(const float *w, size_t depth, size_t columns, uint8_t *out) {
    pack_right(w, columns, depth, columns, 3, out);
}

/* --------------------------------------------------------------------------------------------- Attention */

typedef struct {
    const OrtApi *api;
    int64_t parts, heads;
} Attention;

typedef struct {
    const float *qkv;
    float *y;
    size_t tokens, heads, stride; /* stride: floats from a token to the next */
    uint8_t *keys, *values;       /* right operands, head after head */
    size_t bytes;                 /* of either, for one head */
    int failed;
} AttentionRun;

static size_t padded(size_t tokens) { return (tokens + 31) / 32 * 32; }

/* Keys (even tasks) or values (odd ones) of one head. */
AMX INLINE void pack_head(const AttentionRun *run, size_t task, int parts) {
    const size_t head = task / 2, tokens = run->tokens, band = (size_t)parts * (HEAD / 32) * TILE;
    const float *q = run->qkv + head / run->heads * tokens * run->stride + head % run->heads * HEAD;
    const float *k = q + run->heads * HEAD, *v = k + run->heads * HEAD;
    if (task % 2) {
        pack_right(v, run->stride, tokens, HEAD, parts, run->values + head * run->bytes);
        return;
    }
    for (size_t t = 0; t < padded(tokens); t += 16)
        pack_right_transposed(k + t * run->stride, run->stride, t < tokens ? least(tokens - t, 16) : 0, parts,
                              run->keys + head * run->bytes + t / 16 * band);
}

/* A row of scores -> weights, whose sum it returns, as a row of a left operand. */
AMX INLINE float softmax_row(const float *scores, size_t tokens, int parts, uint8_t *out) {
    const __m512 scale = _mm512_set1_ps(0.125f * 1.44269504f); /* 1 / sqrt(HEAD), and to powers of 2 */
    __m512 highest = _mm512_set1_ps(-INFINITY), sum = _mm512_setzero_ps();
    for (size_t t = 0; t < tokens; t += 16)
        highest = _mm512_mask_max_ps(highest, lanes(t, tokens), highest, _mm512_load_ps(scores + t));
    const __m512 shift = _mm512_set1_ps(_mm512_reduce_max_ps(highest));
    for (size_t t = 0; t < tokens; t += 32) {
        /* First the difference, which is exact where it matters: the highest scores. */
        const __m512 x0 = _mm512_mul_ps(_mm512_sub_ps(_mm512_load_ps(scores + t), shift), scale);
        const __m512 x1 = _mm512_mul_ps(_mm512_sub_ps(_mm512_load_ps(scores + t + 16), shift), scale);
        const __m512 w0 = _mm512_maskz_mov_ps(lanes(t, tokens), exp2_negative(x0));
        const __m512 w1 = _mm512_maskz_mov_ps(lanes(t + 16, tokens), exp2_negative(x1));
        sum = _mm512_add_ps(sum, _mm512_add_ps(w0, w1));
        split_row(w0, w1, parts, out + t / 32 * (size_t)parts * TILE);
    }
    return _mm512_reduce_add_ps(sum);
}

/* QUERY_ROWS queries of one head, 32 at a time against all keys: scores and weights stay in the second cache. */
AMX INLINE void attend(AttentionRun *run, size_t task, int parts) {
    const size_t tokens = run->tokens, width = padded(tokens), blocks = (tokens + QUERY_ROWS - 1) / QUERY_ROWS;
    const size_t head = task / blocks, image = head / run->heads, column = head % run->heads * HEAD;
    const size_t begin = task % blocks * QUERY_ROWS, end = least(begin + QUERY_ROWS, tokens);
    const size_t short_band = (size_t)parts * (HEAD / 32) * TILE, long_band = (size_t)parts * (width / 32) * TILE;
    uint8_t *memory = allocate(2 * short_band + 2 * long_band + 32 * width * sizeof(float));
    if (!memory) {
        run->failed = 1;
        return;
    }
    uint8_t *queries = memory, *weights = queries + 2 * short_band;
    float *scores = (float *)(weights + 2 * long_band), sums[32];
    begin_tiles();
    for (size_t first = begin; first < end; first += 32) {
        const size_t rows = least(end - first, 32);
        const float *q = run->qkv + (image * tokens + first) * run->stride + column;
        pack_left(q, run->stride, least(rows, 16), HEAD, parts, queries);
        pack_left(q + 16 * run->stride, run->stride, rows > 16 ? rows - 16 : 0, HEAD, parts, queries + short_band);
        for (size_t t = 0; t < width; t += 32) {
            const uint8_t *right = run->keys + head * run->bytes + t / 16 * short_band;
            multiply(queries, queries + short_band, right, right + short_band, HEAD / 32, parts, scores + t,
                     width * sizeof(float));
        }
        for (size_t r = 0; r < rows; r++)
            sums[r] = softmax_row(scores + r * width, tokens, parts, weights + r / 16 * long_band + r % 16 * 64);
        for (size_t c = 0; c < HEAD; c += 32) {
            const uint8_t *right = run->values + head * run->bytes + c / 16 * long_band;
            multiply(weights, weights + long_band, right, right + long_band, width / 32, parts, scores,
                     32 * sizeof(float));
            for (size_t r = 0; r < rows; r++) {
                float *y = run->y + (image * tokens + first + r) * run->heads * HEAD + column + c;
                const __m512 share = _mm512_set1_ps(1 / sums[r]);
                _mm512_storeu_ps(y, _mm512_mul_ps(_mm512_load_ps(scores + 32 * r), share));
                _mm512_storeu_ps(y + 16, _mm512_mul_ps(_mm512_load_ps(scores + 32 * r + 16), share));
            }
        }
    }
    _tile_release();
    release(memory);
}

AMX static void pack_head2(void *run, size_t task) { pack_head(run, task, 2); }
AMX static void pack_head3(void *run, size_t task) { pack_head(run, task, 3); }
AMX static void attend2(void *run, size_t task) { attend(run, task, 2); }
AMX static void attend3(void *run, size_t task) { attend(run, task, 3); }

/* ------------------------------------------------------------------------------ what ONNX Runtime calls */

static OrtStatus *get_parts(const OrtApi *api, const OrtInfo *info, int64_t *parts) {
    TRY(api->KernelInfoGetAttribute_int64(info, "parts", parts));
    return *parts == 2 || *parts == 3 ? NULL : failure(api, "humanrt: parts must be 2 or 3");
}

static OrtStatus *linear_create(const OrtCustomOp *op, const OrtApi *api, const OrtInfo *info, void **kernel) {
    (void)op;
    int64_t parts, activate;
    Tensor weight;
    TRY(get_parts(api, info, &parts));
    TRY(api->KernelInfoGetAttribute_int64(info, "gelu", &activate));
    TRY(linear_weight(api, info, &weight));
    Linear *linear = malloc(sizeof *linear);
    if (!linear) return failure(api, "humanrt.Linear: out of memory");
    *linear = (Linear){api, (size_t)weight.size[0], (size_t)weight.size[1], parts, activate, NULL};
    linear->weight = allocate((linear->columns + 31) / 32 * 2 * steps_of(linear->depth) * (size_t)parts * TILE);
    if (!linear->weight) {
        free(linear);
        return failure(api, "humanrt.Linear: out of memory");
    }
    (parts == 2 ? pack_weight2 : pack_weight3)(weight.data, linear->depth, linear->columns, linear->weight);
    *kernel = linear;
    return NULL;
}

static OrtStatus *linear_compute(void *kernel, OrtContext *context) {
    const Linear *linear = kernel;
    const OrtApi *api = linear->api;
    LinearTensors given;
    TRY(linear_tensors(api, context, linear->depth, linear->columns, &given));
    LinearRun run = {linear, given.x, given.bias, given.residual, given.y, given.rows, 0};
    void (*const task)(void *, size_t) = linear->parts == 2 ? linear_rows2 : linear_rows3;
    TRY(api->KernelContext_ParallelFor(context, task, (run.rows + LINEAR_ROWS - 1) / LINEAR_ROWS, 0, &run));
    return run.failed ? failure(api, "humanrt.Linear: out of memory") : NULL;
}

static void linear_destroy(void *kernel) {
    release(((Linear *)kernel)->weight);
    free(kernel);
}

static OrtStatus *attention_create(const OrtCustomOp *op, const OrtApi *api, const OrtInfo *info, void **kernel) {
    (void)op;
    int64_t parts, heads;
    TRY(get_parts(api, info, &parts));
    TRY(attention_heads(api, info, &heads));
    Attention *attention = malloc(sizeof *attention);
    if (!attention) return failure(api, "humanrt.Attention: out of memory");
    *attention = (Attention){api, parts, heads};
    *kernel = attention;
    return NULL;
}

static OrtStatus *attention_compute(void *kernel, OrtContext *context) {
    const Attention *attention = kernel;
    const OrtApi *api = attention->api;
    AttentionTensors given;
    TRY(attention_tensors(api, context, attention->heads, &given));
    AttentionRun run = {.qkv = given.qkv, .y = given.y, .tokens = given.tokens, .heads = (size_t)attention->heads};
    run.stride = 3 * run.heads * HEAD;
    run.bytes = padded(run.tokens) / 32 * (HEAD / 16) * (size_t)attention->parts * TILE;
    const size_t heads = given.images * run.heads;
    run.keys = allocate(2 * heads * run.bytes);
    if (!run.keys) return failure(api, "humanrt.Attention: out of memory");
    run.values = run.keys + heads * run.bytes;
    const size_t blocks = (run.tokens + QUERY_ROWS - 1) / QUERY_ROWS;
    const int two = attention->parts == 2;
    OrtStatus *status = api->KernelContext_ParallelFor(context, two ? pack_head2 : pack_head3, 2 * heads, 0, &run);
    if (!status) status = api->KernelContext_ParallelFor(context, two ? attend2 : attend3, heads * blocks, 0, &run);
    release(run.keys);
    TRY(status);
    return run.failed ? failure(api, "humanrt.Attention: out of memory") : NULL;
}

static const char *linear_name(const OrtCustomOp *op) { return (void)op, "Linear"; }
static const char *attention_name(const OrtCustomOp *op) { return (void)op, "Attention"; }

const OrtCustomOp HUMANRT_AMX_LINEAR = {
    .version = ORT_CUSTOM_OP, .GetName = linear_name, .GetExecutionProviderType = provider,
    .GetInputType = is_float, .GetInputTypeCount = four, .GetOutputType = is_float, .GetOutputTypeCount = one,
    .GetInputCharacteristic = first_two_required, .GetOutputCharacteristic = required, .GetInputMemoryType = in_memory,
    .CreateKernelV2 = linear_create, .KernelComputeV2 = linear_compute, .KernelDestroy = linear_destroy,
};
const OrtCustomOp HUMANRT_AMX_ATTENTION = {
    .version = ORT_CUSTOM_OP, .GetName = attention_name, .GetExecutionProviderType = provider,
    .GetInputType = is_float, .GetInputTypeCount = one, .GetOutputType = is_float, .GetOutputTypeCount = one,
    .GetInputCharacteristic = required, .GetOutputCharacteristic = required, .GetInputMemoryType = in_memory,
    .CreateKernelV2 = attention_create, .KernelComputeV2 = attention_compute, .KernelDestroy = free,
};

#endif
