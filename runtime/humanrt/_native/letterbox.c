/* A picture, scaled and centred in an input, normalised and planar: uint8 [H, W, 3] -> float32 [3, h, w].
 *
 * Scaled exactly as Pillow's Image.resize does it with 8 bits a channel: in two passes, across and down; a pixel is the
 * sum of a window of pixels, each times a weight of 22 bits; it is rounded and clipped to 0..255 after either pass. The
 * weights, and which pass is the first, come from humanrt/letterbox.py. Rows go through one after the other, and an
 * output row is made as soon as those in its window have been: what lies between the passes stays in the cache.
 *
 * With AVX2 where the processor has it, else with SSE2, which every x86-64 has; elsewhere in portable code. All of them
 * give the same integers.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "avx2.h"
#include "export.h"

enum { BITS = 22, HALF = 1 << (BITS - 1) };
enum { ROWS = 8 };    /* source rows that go across together */
enum { BEYOND = 32 }; /* bytes behind a row that may be read or written, whatever is in them */

/* For each output pixel along an axis: the first source pixel, how many there are, and their weights. */
typedef struct {
    const int32_t *table; /* [scaled][2 + taps] */
    int32_t scaled, taps;
    int32_t *pairs; /* AVX2: [scaled][(taps + 1) / 2][2], see split */
} Windows;

static const int32_t *window(const Windows *windows, int32_t i) {
    return windows->table + (size_t)i * (size_t)(2 + windows->taps);
}

static uint8_t clipped(int32_t sum) {
    const int32_t level = sum >> BITS;
    return (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
}

/* Four channels of a pixel, the last of which is the next pixel's first, and is not used. */
typedef uint8_t Bytes __attribute__((vector_size(4)));
typedef int32_t Sums __attribute__((vector_size(16)));

/* ROWS rows of a picture, `bytes` apart -> the same rows scaled, RGB. */
static void across_portable(const Windows *windows, const uint8_t *rows, size_t bytes, uint8_t *const *out) {
    for (int row = 0; row < ROWS; row++) {
        uint8_t *to = out[row];
        for (int32_t x = 0; x < windows->scaled; x++, to += 3) {
            const int32_t *w = window(windows, x);
            const uint8_t *at = rows + (size_t)row * bytes + 3 * (size_t)w[0];
            Sums sums = {HALF, HALF, HALF, HALF};
            for (int32_t k = 0; k < w[1]; k++, at += 3) {
                Bytes rgb;
                memcpy(&rgb, at, sizeof rgb);
                sums += __builtin_convertvector(rgb, Sums) * w[2 + k];
            }
            for (int c = 0; c < 3; c++) to[c] = clipped(sums[c]);
        }
    }
}

/* The rows in an output row's window, each of `count` bytes -> the output row. */
static void down_portable(const int32_t *window, uint8_t *const *rows, int32_t count, uint8_t *out) {
    enum { BLOCK = 64 };
    int32_t sums[BLOCK];
    for (int32_t from = 0; from < count; from += BLOCK) {
        const int32_t n = count - from < BLOCK ? count - from : BLOCK;
        for (int32_t i = 0; i < n; i++) sums[i] = HALF;
        for (int32_t k = 0; k < window[1]; k++) {
            const int32_t weight = window[2 + k];
            const uint8_t *row = rows[k] + from;
            for (int32_t i = 0; i < n; i++) sums[i] += weight * row[i];
        }
        for (int32_t i = 0; i < n; i++) out[from + i] = clipped(sums[i]);
    }
}

#ifdef HAVE_AVX2_PATH /* that is: x86-64 */
#define AVX2 __attribute__((target("avx2,fma")))

/* pmaddwd multiplies pairs of 16 bits: a weight is high * 2^16 + low, either with a sign, and so are the sums of products.
 * The sums may run over in between: their result fits 32 bits. In memory: two low halves, then two high ones. */
static void split(const Windows *windows) {
    int32_t *to = windows->pairs;
    for (int32_t i = 0; i < windows->scaled; i++) {
        const int32_t *w = window(windows, i);
        for (int32_t k = 0; k < windows->taps; k += 2, to += 2) {
            const int32_t a = k < w[1] ? w[2 + k] : 0, b = k + 1 < w[1] ? w[2 + k + 1] : 0;
            const int32_t low_a = (int16_t)(a & 0xffff), low_b = (int16_t)(b & 0xffff);
            const uint32_t high_a = (uint32_t)((a - low_a) >> 16), high_b = (uint32_t)((b - low_b) >> 16);
            to[0] = (int32_t)(((uint32_t)low_a & 0xffff) | (uint32_t)low_b << 16);
            to[1] = (int32_t)((high_a & 0xffff) | high_b << 16);
        }
    }
}

static const int32_t *pairs_of(const Windows *windows, int32_t i) {
    return windows->pairs + (size_t)i * (size_t)((windows->taps + 1) / 2 * 2);
}

AVX2 static inline __m256i rounded(__m256i low, __m256i high) {
    const __m256i sum = _mm256_add_epi32(low, _mm256_slli_epi32(high, 16));
    return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(HALF)), BITS);
}

static inline __m128i rounded4(__m128i low, __m128i high) {
    const __m128i sum = _mm_add_epi32(low, _mm_slli_epi32(high, 16));
    return _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(HALF)), BITS);
}

/* As across_portable. A register holds two neighbouring pixels of a row: r r' g g' b b' and what is not used. */
static void across_sse2(const Windows *windows, const uint8_t *rows, size_t bytes, uint8_t *const *out) {
    enum { TOGETHER = 4 };
    const __m128i zero = _mm_setzero_si128();
    for (int32_t x = 0; x < windows->scaled; x++) {
        const int32_t *const w = window(windows, x);
        for (int row = 0; row < ROWS; row += TOGETHER) {
            const int32_t *pair = pairs_of(windows, x);
            const uint8_t *at = rows + (size_t)row * bytes + 3 * (size_t)w[0];
            __m128i low[TOGETHER], high[TOGETHER];
            for (int i = 0; i < TOGETHER; i++) low[i] = high[i] = zero;
            for (int32_t k = 0; k < w[1]; k += 2, at += 6, pair += 2) {
                const __m128i low_pair = _mm_set1_epi32(pair[0]), high_pair = _mm_set1_epi32(pair[1]);
#pragma clang loop unroll(full)
                for (int i = 0; i < TOGETHER; i++) {
                    const __m128i near = _mm_loadl_epi64((const __m128i *)(const void *)(at + (size_t)i * bytes));
                    const __m128i both = _mm_unpacklo_epi8(near, _mm_srli_si128(near, 3));
                    const __m128i words = _mm_unpacklo_epi8(both, zero);
                    low[i] = _mm_add_epi32(low[i], _mm_madd_epi16(words, low_pair));
                    high[i] = _mm_add_epi32(high[i], _mm_madd_epi16(words, high_pair));
                }
            }
            int32_t pixels[TOGETHER];
            _mm_storeu_si128((__m128i *)(void *)pixels,
                             _mm_packus_epi16(_mm_packs_epi32(rounded4(low[0], high[0]), rounded4(low[1], high[1])),
                                              _mm_packs_epi32(rounded4(low[2], high[2]), rounded4(low[3], high[3]))));
            for (int i = 0; i < TOGETHER; i++) memcpy(out[row + i] + 3 * (size_t)x, pixels + i, 4);
        }
    }
}

/* As down_portable, with the window's pairs of weights. Writes up to 7 bytes too many. */
static void down_sse2(const int32_t *pairs, int32_t taps, uint8_t *const *rows, int32_t count, uint8_t *out) {
    const __m128i zero = _mm_setzero_si128();
    for (int32_t from = 0; from < count; from += 8) {
        __m128i low0 = zero, low1 = zero, high0 = zero, high1 = zero;
        for (int32_t k = 0; k < taps; k += 2) {
            const uint8_t *p = rows[k] + from, *q = rows[k + 1 < taps ? k + 1 : k] + from;
            const __m128i both = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(const void *)p),
                                                   _mm_loadl_epi64((const __m128i *)(const void *)q));
            const __m128i left = _mm_unpacklo_epi8(both, zero), right = _mm_unpackhi_epi8(both, zero);
            const __m128i low = _mm_set1_epi32(pairs[k]), high = _mm_set1_epi32(pairs[k + 1]);
            low0 = _mm_add_epi32(low0, _mm_madd_epi16(left, low));
            low1 = _mm_add_epi32(low1, _mm_madd_epi16(right, low));
            high0 = _mm_add_epi32(high0, _mm_madd_epi16(left, high));
            high1 = _mm_add_epi32(high1, _mm_madd_epi16(right, high));
        }
        const __m128i words = _mm_packs_epi32(rounded4(low0, high0), rounded4(low1, high1));
        _mm_storel_epi64((__m128i *)(void *)(out + from), _mm_packus_epi16(words, words));
    }
}

/* As across_portable. Either half of a register holds a row, two neighbouring pixels of it: r r' g g' b b' 0 0. */
AVX2 static void across_avx2(const Windows *windows, const uint8_t *rows, size_t bytes, uint8_t *const *out) {
    const char z = -1;
    const __m256i near = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, z, 3, z, 1, z, 4, z, 2, z, 5, z, z, z, z, z));
    const __m256i far = _mm256_broadcastsi128_si256(_mm_setr_epi8(6, z, 9, z, 7, z, 10, z, 8, z, 11, z, z, z, z, z));
    for (int32_t x = 0; x < windows->scaled; x++) {
        const int32_t *const w = window(windows, x), *pair = pairs_of(windows, x);
        const uint8_t *at = rows + 3 * (size_t)w[0];
        __m256i low[ROWS / 2], high[ROWS / 2];
        for (int i = 0; i < ROWS / 2; i++) low[i] = high[i] = _mm256_setzero_si256();
        int32_t left = (w[1] + 1) / 2;
        for (; left >= 2; left -= 2, at += 12, pair += 4) {
            const __m256i low0 = _mm256_set1_epi32(pair[0]), high0 = _mm256_set1_epi32(pair[1]);
            const __m256i low1 = _mm256_set1_epi32(pair[2]), high1 = _mm256_set1_epi32(pair[3]);
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS / 2; i++) {
                const uint8_t *p = at + 2 * (size_t)i * bytes;
                const __m256i both = _mm256_inserti128_si256(
                    _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p)),
                    _mm_loadu_si128((const __m128i *)(const void *)(p + bytes)), 1);
                const __m256i a = _mm256_shuffle_epi8(both, near), b = _mm256_shuffle_epi8(both, far);
                low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(a, low0));
                high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(a, high0));
                low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(b, low1));
                high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(b, high1));
            }
        }
        if (left) {
            const __m256i low0 = _mm256_set1_epi32(pair[0]), high0 = _mm256_set1_epi32(pair[1]);
#pragma clang loop unroll(full)
            for (int i = 0; i < ROWS / 2; i++) {
                const uint8_t *p = at + 2 * (size_t)i * bytes;
                const __m256i both = _mm256_inserti128_si256(
                    _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p)),
                    _mm_loadu_si128((const __m128i *)(const void *)(p + bytes)), 1);
                const __m256i a = _mm256_shuffle_epi8(both, near);
                low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(a, low0));
                high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(a, high0));
            }
        }
        /* Rows 0 2 4 6 in the lower half, 1 3 5 7 in the upper, 4 bytes each; the fourth is written over by the next pixel. */
        const __m256i sums = _mm256_packus_epi16(
            _mm256_packs_epi32(rounded(low[0], high[0]), rounded(low[1], high[1])),
            _mm256_packs_epi32(rounded(low[2], high[2]), rounded(low[3], high[3])));
        int32_t pixels[ROWS];
        _mm256_storeu_si256((__m256i *)(void *)pixels, sums);
        for (int row = 0; row < ROWS; row++) memcpy(out[row] + 3 * (size_t)x, pixels + row / 2 + row % 2 * (ROWS / 2), 4);
    }
}

/* As down_portable, with the window's pairs of weights. Writes up to 15 bytes too many. */
AVX2 static void down_avx2(const int32_t *pairs, int32_t taps, uint8_t *const *rows, int32_t count, uint8_t *out) {
    for (int32_t from = 0; from < count; from += 16) {
        __m256i low0 = _mm256_setzero_si256(), low1 = low0, high0 = low0, high1 = low0;
        for (int32_t k = 0; k < taps; k += 2) {
            const uint8_t *p = rows[k] + from, *q = rows[k + 1 < taps ? k + 1 : k] + from;
            const __m256i a = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
            const __m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)q));
            const __m256i left = _mm256_unpacklo_epi16(a, b), right = _mm256_unpackhi_epi16(a, b);
            const __m256i low = _mm256_set1_epi32(pairs[k]), high = _mm256_set1_epi32(pairs[k + 1]);
            low0 = _mm256_add_epi32(low0, _mm256_madd_epi16(left, low));
            low1 = _mm256_add_epi32(low1, _mm256_madd_epi16(right, low));
            high0 = _mm256_add_epi32(high0, _mm256_madd_epi16(left, high));
            high1 = _mm256_add_epi32(high1, _mm256_madd_epi16(right, high));
        }
        const __m256i words = _mm256_packs_epi32(rounded(low0, high0), rounded(low1, high1));
        const __m256i levels = _mm256_permute4x64_epi64(_mm256_packus_epi16(words, words), 0x08);
        _mm_storeu_si128((__m128i *)(void *)(out + from), _mm256_castsi256_si128(levels));
    }
}
#endif

enum { PORTABLE = 1, WITH_SSE2 = 2, WITH_AVX2 = 3 };

static void go_across(const Windows *windows, const uint8_t *rows, size_t bytes, uint8_t *const *out, int path) {
#ifdef HAVE_AVX2_PATH
    if (path == WITH_AVX2) across_avx2(windows, rows, bytes, out);
    if (path == WITH_SSE2) across_sse2(windows, rows, bytes, out);
#endif
    if (path == PORTABLE) across_portable(windows, rows, bytes, out);
}

static void go_down(const Windows *windows, int32_t j, uint8_t *const *rows, int32_t count, uint8_t *out, int path) {
    const int32_t *const w = window(windows, j);
#ifdef HAVE_AVX2_PATH
    if (path == WITH_AVX2) down_avx2(pairs_of(windows, j), w[1], rows, count, out);
    if (path == WITH_SSE2) down_sse2(pairs_of(windows, j), w[1], rows, count, out);
#endif
    if (path == PORTABLE) down_portable(w, rows, count, out);
}

/* Rows that are kept between the passes: those of any window, and those made too early: ROWS go in at a time. */
static int32_t kept_rows(const Windows *down) {
    int32_t most = 0, made = 0;
    for (int32_t j = 0; j < down->scaled; j++) {
        const int32_t *w = window(down, j), end = w[0] + w[1];
        if (end > made) made = end;
        if (made - w[0] > most) most = made - w[0];
    }
    return most + ROWS;
}

static void fill(float *from, float *to, float value) {
    while (from < to) *from++ = value;
}

typedef struct {
    const float *levels;
    float *out;
    int32_t across, down;             /* of the input */
    int32_t left, top, width, height; /* of the picture in it */
} Input;

/* What is above and below the picture. */
static void frame(const Input *input) {
    const size_t across = (size_t)input->across, plane = across * (size_t)input->down;
    for (int c = 0; c < 3; c++) {
        float *const first = input->out + (size_t)c * plane;
        fill(first, first + (size_t)input->top * across, input->levels[256 * c]);
        fill(first + (size_t)(input->top + input->height) * across, first + plane, input->levels[256 * c]);
    }
}

/* Row j of the picture, and what is beside it. */
static void place(const Input *input, int32_t j, const uint8_t *row) {
    const size_t across = (size_t)input->across, plane = across * (size_t)input->down;
    const float *const levels = input->levels;
    float *const red = input->out + (size_t)(input->top + j) * across, *const green = red + plane;
    float *const blue = green + plane;
    const int32_t left = input->left, right = left + input->width;
    for (int c = 0; c < 3; c++) {
        float *const begin = red + (size_t)c * plane;
        fill(begin, begin + left, levels[256 * c]);
        fill(begin + right, begin + across, levels[256 * c]);
    }
    for (int32_t x = left; x < right; x++, row += 3) {
        red[x] = levels[row[0]];
        green[x] = levels[256 + row[1]];
        blue[x] = levels[512 + row[2]];
    }
}

/* pixels: the first row, `row` bytes from the next (may be negative), RGB without gaps. across, down: windows of
 * `scaled_width` and `scaled_height` output pixels, as in Windows. down_first: whether the pass down is the first.
 * levels: [3][256], the normalised value of each level. out: [3][input_height][input_width], the scaled picture's corner at
 * (left, top), levels[c][0] around it. path: 0 is the fastest that this processor has, else PORTABLE or, if it is there, WITH_SSE2.
 * Returns the path taken, WITH_AVX2 among them; 0: no memory. */
EXPORT int32_t humanrt_letterbox(const uint8_t *pixels, int32_t width, int32_t height, ptrdiff_t row,
                                 const int32_t *across, int32_t scaled_width, int32_t across_taps, const int32_t *down,
                                 int32_t scaled_height, int32_t down_taps, int32_t down_first, const float *levels,
                                 float *out, int32_t input_width, int32_t input_height, int32_t left, int32_t top,
                                 int32_t path);
EXPORT int32_t humanrt_letterbox(const uint8_t *pixels, int32_t width, int32_t height, ptrdiff_t row,
                                 const int32_t *across, int32_t scaled_width, int32_t across_taps, const int32_t *down,
                                 int32_t scaled_height, int32_t down_taps, int32_t down_first, const float *levels,
                                 float *out, int32_t input_width, int32_t input_height, int32_t left, int32_t top,
                                 int32_t path) {
    Windows columns = {across, scaled_width, across_taps, NULL}, lines = {down, scaled_height, down_taps, NULL};
    const Input input = {levels, out, input_width, input_height, left, top, scaled_width, scaled_height};
    const int32_t kept = kept_rows(&lines), between_width = down_first ? width : scaled_width;
    const size_t wide_bytes = 3 * (size_t)width + BEYOND, scaled_bytes = 3 * (size_t)scaled_width + BEYOND;
    const size_t ring_bytes = 3 * (size_t)between_width + BEYOND;
    const size_t pairs[2] = {(size_t)scaled_width * (size_t)((across_taps + 1) / 2 * 2),
                             (size_t)scaled_height * (size_t)((down_taps + 1) / 2 * 2)};
    const size_t seen_bytes = (size_t)down_taps * sizeof(uint8_t *);
    /* Pointers, weights, then bytes: each as aligned as it must be. */
    uint8_t *const memory = malloc(seen_bytes + (pairs[0] + pairs[1]) * sizeof(int32_t) +
                                   ROWS * (wide_bytes + scaled_bytes) + (size_t)kept * ring_bytes);
    if (!memory) return 0;
    uint8_t **const seen = (uint8_t **)(void *)memory;
    columns.pairs = (int32_t *)(void *)(memory + seen_bytes);
    lines.pairs = columns.pairs + pairs[0];
    /* wide: ROWS rows before they go across; narrow: after; ring: what the pass down reads. */
    uint8_t *const wide = (uint8_t *)(lines.pairs + pairs[1]), *const narrow = wide + ROWS * wide_bytes;
    uint8_t *const ring = narrow + ROWS * scaled_bytes;
    int taken = PORTABLE;
#ifdef HAVE_AVX2_PATH
    if (path != PORTABLE) {
        taken = path != WITH_SSE2 && has_avx2() ? WITH_AVX2 : WITH_SSE2;
        split(&columns), split(&lines);
    }
#endif
    (void)path;

    frame(&input);
    uint8_t *to[ROWS];
    for (int i = 0; i < ROWS; i++) to[i] = narrow + (size_t)i * scaled_bytes;
    int32_t made = 0; /* source rows that are, or were, in the ring */
    for (int32_t j = 0; j < scaled_height; j++) {
        const int32_t *const w = window(&lines, j);
        while (made < w[0] + w[1]) {
            uint8_t *made_rows[ROWS];
            for (int i = 0; i < ROWS; i++, made++) {
                const int32_t y = made < height ? made : height - 1; /* below the last: again, and nobody looks */
                made_rows[i] = ring + (size_t)(made % kept) * ring_bytes;
                uint8_t *const copy = down_first ? made_rows[i] : wide + (size_t)i * wide_bytes;
                memcpy(copy, pixels + y * row, 3 * (size_t)width);
                memset(copy + 3 * (size_t)width, 0, BEYOND);
            }
            if (!down_first) go_across(&columns, wide, wide_bytes, made_rows, taken);
        }
        for (int32_t k = 0; k < w[1]; k++) seen[k] = ring + (size_t)((w[0] + k) % kept) * ring_bytes;
        if (!down_first) {
            go_down(&lines, j, seen, 3 * between_width, narrow, taken);
            place(&input, j, narrow);
            continue;
        }
        const int32_t done = j % ROWS;
        go_down(&lines, j, seen, 3 * between_width, wide + (size_t)done * wide_bytes, taken);
        if (done < ROWS - 1 && j < scaled_height - 1) continue;
        for (int32_t i = done + 1; i < ROWS; i++) memset(wide + (size_t)i * wide_bytes, 0, wide_bytes);
        go_across(&columns, wide, wide_bytes, to, taken);
        for (int32_t i = 0; i <= done; i++) place(&input, j - done + i, narrow + (size_t)i * scaled_bytes);
    }
    free(memory);
    return taken;
}
