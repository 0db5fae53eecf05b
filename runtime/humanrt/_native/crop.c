/* A rotated square of an image, straight into the input of a network: uint8 [H, W, 3] -> float32 [3, S, S] in 0..1.
 *
 * Bilinear, with pixel centres at whole numbers and black outside the image: cv2.warpAffine with WARP_INVERSE_MAP and
 * a constant border, without its rounding to 1/32 px and to whole grey levels, and without the passes that then turn
 * interleaved bytes into planes of floats. No byte outside the image's own pixels is read.
 *
 * Eight output pixels at a time with AVX2 where the processor has it, one at a time elsewhere, with the same arithmetic
 * and so the same bits (but where `position` rounds twice): where people and hands are followed, a crop depends on the
 * results of the one before, and the smallest difference grows to tenths of a pixel between processors.
 */
/* No product and sum is fused unless it is written so: on Arm the compiler would, on x86 it cannot. */
#pragma STDC FP_CONTRACT OFF

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "avx2.h"
#include "export.h"

typedef struct {
    const uint8_t *pixels;     /* the first pixel's first channel */
    int32_t width, height;
    ptrdiff_t row, column, channel; /* bytes from one to the next; may be negative */
} Image;

/* A row of output pixels: where its first one lies in the image, and the step to the next. */
typedef struct {
    double x, y, dx, dy;
    int single; /* positions in single precision, which resolves a row of this length: as row_avx2 has them */
} Row;

/* Fixed point of the weights: 15 bits, so that products fit pmaddwd. */
static const float WEIGHT = 32767;

/* Where output pixel u of a row lies along one axis: its whole pixels, returned, and the rest. Whole pixels of the
 * row's start are split off, so that single precision has only the row's own length to hold. The product of two floats
 * is exact in double; the sum is rounded to double and then to float, which is the float of a fused one but where the
 * double is halfway between two floats: about once in 2^29 sums. */
static double position(double start, double step, int32_t u, int single, float *rest) {
    if (!single) {
        const double at = start + u * step, whole = floor(at);
        *rest = (float)(at - whole);
        return whole;
    }
    const double base = floor(start);
    const float at = (float)((double)u * (double)(float)step + (double)(float)(start - base)), whole = floorf(at);
    *rest = at - whole;
    return base + (double)whole;
}

/* Output pixels `from` to `to`, anywhere. */
static void row_scalar(const Image *image, const Row *row, int32_t from, int32_t to, float *red, float *green,
                       float *blue) {
    const float unit = 1 / (255 * WEIGHT);
    for (int32_t u = from; u < to; u++) {
        float fx, fy;
        const double x = position(row->x, row->dx, u, row->single, &fx);
        const double y = position(row->y, row->dy, u, row->single, &fy);
        int32_t sum[3] = {0, 0, 0};
        /* Written so that nan and infinity are outside. */
        if (x >= -1 && x < image->width && y >= -1 && y < image->height) {
            const int32_t x0 = (int32_t)x, y0 = (int32_t)y;
            const float below = fy * WEIGHT, across[2] = {1 - fx, fx}, down[2] = {WEIGHT - below, below};
            for (int i = 0; i < 4; i++) {
                const int32_t xi = x0 + (i & 1), yi = y0 + (i >> 1);
                if (xi < 0 || yi < 0 || xi >= image->width || yi >= image->height) continue;
                const int32_t weight = (int32_t)lrintf(across[i & 1] * down[i >> 1]);
                const uint8_t *p = image->pixels + yi * image->row + xi * image->column;
                for (int c = 0; c < 3; c++) sum[c] += weight * p[c * image->channel];
            }
        }
        red[u] = (float)sum[0] * unit, green[u] = (float)sum[1] * unit, blue[u] = (float)sum[2] * unit;
    }
}

/* Whether single precision resolves a thousandth of a pixel in rows so long, and 32 bits hold where they begin. */
static int fits_single(const double *map, int32_t size) {
    const double along = (fabs(map[0]) + fabs(map[3])) * size, down = (fabs(map[1]) + fabs(map[4])) * size;
    return along < 16384 && down + fabs(map[2]) + fabs(map[5]) < 1e8;
}

#ifdef HAVE_AVX2_PATH

/* LANES output pixels at a time. Source pixels are asked for before they are due, AHEAD cache lines on, at every
 * FETCH-th lane: rows of an image are pages apart, which the processor's own prefetching does not follow, and a frame
 * that a camera has just written is in no cache. Measured on one machine; they change the time, never the result. */
enum { LANES = 8, AHEAD = 8, FETCH = 2 };

/* The weights of two neighbours in a row, as pairs of 16 bits. */
__attribute__((target("avx2,fma"))) static __m256i weights(__m256 left, __m256 right, __m256 row) {
    return _mm256_or_si256(_mm256_cvtps_epi32(_mm256_mul_ps(left, row)),
                           _mm256_slli_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(right, row)), 16));
}

/* 8 bytes each from two addresses, one in either half. */
__attribute__((target("avx2,fma"))) static __m256i pair_of_pairs(const uint8_t *p, const uint8_t *q) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(const void *)p)),
                                   _mm_loadl_epi64((const __m128i *)(const void *)q), 1);
}

/* As row_scalar for a whole row of an image that fits_avx2. Neighbours in a row are fetched together as 8 bytes, up to
 * two too many: the pair that ends the image's memory is left to the scalar code; after any other, they are inside. */
__attribute__((target("avx2,fma"))) static void row_avx2(const Image *image, const Row *line, int32_t size,
                                                         ptrdiff_t ahead, float *red, float *green, float *blue) {
    const double x = line->x, y = line->y, x_whole = floor(x), y_whole = floor(y);
    const __m256 lane = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), one = _mm256_set1_ps(1);
    const __m256 x_start = _mm256_set1_ps((float)(x - x_whole)), y_start = _mm256_set1_ps((float)(y - y_whole));
    const __m256 x_step = _mm256_set1_ps((float)line->dx), y_step = _mm256_set1_ps((float)line->dy);
    const __m256i x_base = _mm256_set1_epi32((int32_t)x_whole), y_base = _mm256_set1_epi32((int32_t)y_whole);
    const __m256i column = _mm256_set1_epi32((int32_t)image->column), row = _mm256_set1_epi32((int32_t)image->row);
    const __m256i minus_one = _mm256_set1_epi32(-1), minus_two = _mm256_set1_epi32(-2);
    const __m256i width = _mm256_set1_epi32(image->width), height = _mm256_set1_epi32(image->height);
    const __m256i x_most = _mm256_add_epi32(width, minus_one), y_most = _mm256_add_epi32(height, minus_one);
    const __m256i x_last = _mm256_add_epi32(width, minus_two);
    const __m256i y_last = image->row > 0 ? _mm256_add_epi32(height, minus_two) : _mm256_setzero_si256();
    const __m256 fixed = _mm256_set1_ps(WEIGHT);
    const __m256 unit = _mm256_set1_ps(1 / (255 * WEIGHT));
    /* r0 g0 b0 (x) r1 g1 b1 (x) -> r0 r1 g0 g1 b0 b1 0 0 in 16 bits each. */
    const char c = (char)image->column, z = -1;
    const __m256i pairs = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, z, c, z, 1, z, (char)(c + 1), z, 2, z, (char)(c + 2), z, z, z, z, z));

    const uint8_t *const pixels = image->pixels;
    const ptrdiff_t below = image->row;
    int32_t u = 0;
    for (; u + LANES <= size; u += LANES) {
        const __m256 at = _mm256_add_ps(_mm256_set1_ps((float)u), lane);
        const __m256 xs = _mm256_fmadd_ps(at, x_step, x_start), ys = _mm256_fmadd_ps(at, y_step, y_start);
        const __m256 x_floor = _mm256_floor_ps(xs), y_floor = _mm256_floor_ps(ys);
        const __m256i x0 = _mm256_add_epi32(_mm256_cvttps_epi32(x_floor), x_base);
        const __m256i y0 = _mm256_add_epi32(_mm256_cvttps_epi32(y_floor), y_base);
        const __m256i inside = _mm256_and_si256(
            _mm256_and_si256(_mm256_cmpgt_epi32(x0, minus_one), _mm256_cmpgt_epi32(x_most, x0)),
            _mm256_and_si256(_mm256_cmpgt_epi32(y0, minus_one), _mm256_cmpgt_epi32(y_most, y0)));
        const __m256i last = _mm256_and_si256(_mm256_cmpeq_epi32(x0, x_last), _mm256_cmpeq_epi32(y0, y_last));
        if (_mm256_movemask_epi8(_mm256_andnot_si256(last, inside)) != -1) {
            const __m256i near = _mm256_and_si256(
                _mm256_and_si256(_mm256_cmpgt_epi32(x0, minus_two), _mm256_cmpgt_epi32(width, x0)),
                _mm256_and_si256(_mm256_cmpgt_epi32(y0, minus_two), _mm256_cmpgt_epi32(height, y0)));
            if (_mm256_testz_si256(near, near)) {
                const __m256 black = _mm256_setzero_ps();
                _mm256_storeu_ps(red + u, black);
                _mm256_storeu_ps(green + u, black);
                _mm256_storeu_ps(blue + u, black);
            } else {
                row_scalar(image, line, u, u + LANES, red, green, blue);
            }
            continue;
        }
        const __m256 fx = _mm256_sub_ps(xs, x_floor), fy = _mm256_mul_ps(_mm256_sub_ps(ys, y_floor), fixed);
        const __m256 gx = _mm256_sub_ps(one, fx), gy = _mm256_sub_ps(fixed, fy);
        const __m256i upper = weights(gx, fx, gy), lower = weights(gx, fx, fy);
        int32_t offset[LANES];
        _mm256_storeu_si256((__m256i *)(void *)offset,
                            _mm256_add_epi32(_mm256_mullo_epi32(x0, column), _mm256_mullo_epi32(y0, row)));
        for (int i = 0; i < LANES; i += FETCH) {
            /* An address to ask for, perhaps outside the image: asking reads nothing. */
            const uintptr_t due = (uintptr_t)pixels + (uintptr_t)(ptrdiff_t)offset[i] + (uintptr_t)ahead;
            _mm_prefetch((const char *)due, _MM_HINT_T0);
            _mm_prefetch((const char *)(due + (uintptr_t)below), _MM_HINT_T0);
        }
        __m256i rgb[4]; /* r g b 0 of output pixels i and i + 4, in fixed point */
        for (int i = 0; i < 4; i++) {
            const uint8_t *const p = pixels + offset[i], *const q = pixels + offset[i + 4];
            const __m256i which = _mm256_add_epi32(_mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4), _mm256_set1_epi32(i));
            const __m256i a = _mm256_shuffle_epi8(pair_of_pairs(p, q), pairs);
            const __m256i b = _mm256_shuffle_epi8(pair_of_pairs(p + below, q + below), pairs);
            rgb[i] = _mm256_add_epi32(_mm256_madd_epi16(a, _mm256_permutevar8x32_epi32(upper, which)),
                                      _mm256_madd_epi16(b, _mm256_permutevar8x32_epi32(lower, which)));
        }
        const __m256i rg01 = _mm256_unpacklo_epi32(rgb[0], rgb[1]), b01 = _mm256_unpackhi_epi32(rgb[0], rgb[1]);
        const __m256i rg23 = _mm256_unpacklo_epi32(rgb[2], rgb[3]), b23 = _mm256_unpackhi_epi32(rgb[2], rgb[3]);
        const __m256i r = _mm256_unpacklo_epi64(rg01, rg23), g = _mm256_unpackhi_epi64(rg01, rg23);
        const __m256i s = _mm256_unpacklo_epi64(b01, b23);
        _mm256_storeu_ps(red + u, _mm256_mul_ps(_mm256_cvtepi32_ps(r), unit));
        _mm256_storeu_ps(green + u, _mm256_mul_ps(_mm256_cvtepi32_ps(g), unit));
        _mm256_storeu_ps(blue + u, _mm256_mul_ps(_mm256_cvtepi32_ps(s), unit));
    }
    row_scalar(image, line, u, size, red, green, blue);
}

/* Whether row_avx2 may be used: positions in single precision, 3 or 4 adjacent bytes a pixel, rows that do not overlap
 * (so that one pair is last in memory, and the bytes after any other lie inside the image), and offsets that 32 bits
 * hold. */
static int fits_avx2(const Image *image, int single) {
    const double row = fabs((double)image->row);
    if (!single || image->channel != 1 || (image->column != 3 && image->column != 4)) return 0;
    if (image->width < 2 || image->height < 2 || row < (double)image->column * image->width) return 0;
    return row * image->height < 2147483648.0 && has_avx2();
}

/* Bytes from a pixel to one that is due about AHEAD cache lines later, some output rows on. */
static ptrdiff_t fetch_distance(const Image *image, const double *map) {
    const double lines = fabs(map[4]) + fabs(map[1]) * (double)image->column / 64; /* in one output row */
    const double rows = fmin(AHEAD / fmax(lines, 1e-3), 64);
    return (ptrdiff_t)(rows * map[1]) * image->column + (ptrdiff_t)(rows * map[4]) * image->row;
}
#endif

/* a b x, d e y: [2, 3] from an output pixel (u, v, 1) to image coordinates. out: [3, size, size]. path: 0 is the
 * fastest that this processor has, 1 the portable one. Returns the path taken: 2 AVX2, 1 portable. */
EXPORT int32_t humanrt_crop(const uint8_t *pixels, int32_t width, int32_t height, ptrdiff_t row, ptrdiff_t column,
                            ptrdiff_t channel, double a, double b, double x, double d, double e, double y, int32_t size,
                            float *out, int32_t path);
EXPORT int32_t humanrt_crop(const uint8_t *pixels, int32_t width, int32_t height, ptrdiff_t row, ptrdiff_t column,
                            ptrdiff_t channel, double a, double b, double x, double d, double e, double y, int32_t size,
                            float *out, int32_t path) {
    Image image = {pixels, width, height, row, column, channel};
    const size_t plane = (size_t)size * size;
    float *planes[3] = {out, out + plane, out + 2 * plane};
    double to[6] = {a, b, x, d, e, y};
    /* Mirrored views and reversed channels are the same bytes read the other way round. */
    if (image.column < 0) {
        image.pixels += (width - 1) * image.column;
        image.column = -image.column;
        to[0] = -to[0], to[1] = -to[1], to[2] = width - 1 - to[2];
    }
    if (image.channel < 0) {
        image.pixels += 2 * image.channel;
        image.channel = -image.channel;
        planes[0] = out + 2 * plane, planes[2] = out;
    }
    const int single = fits_single(to, size);
    int wide = 0;
#ifdef HAVE_AVX2_PATH
    wide = path != 1 && fits_avx2(&image, single);
    const ptrdiff_t ahead = wide ? fetch_distance(&image, to) : 0;
#endif
    for (int32_t v = 0; v < size; v++) {
        const Row line = {to[1] * v + to[2], to[4] * v + to[5], to[0], to[3], single};
        const size_t at = (size_t)v * size;
#ifdef HAVE_AVX2_PATH
        if (wide) {
            row_avx2(&image, &line, size, ahead, planes[0] + at, planes[1] + at, planes[2] + at);
            continue;
        }
#endif
        row_scalar(&image, &line, 0, size, planes[0] + at, planes[1] + at, planes[2] + at);
    }
    (void)path;
    return wide ? 2 : 1;
}
