/* A uint8 frame -> the network's input, in one pass: letterboxed, converted to RGB, normalised, planar.
 *
 * One thread a pixel of the input. Filters, with the pixel centres and coefficients of OpenCV: AREA (mean over what the
 * pixel covers: for shrinking), LINEAR (two taps, no antialiasing) and CUBIC (four taps, a = -0.75: for enlarging). Unlike
 * OpenCV's, the result is not rounded to whole levels in between. PILLOW is humanrt/letterbox.py's, in integers: windows
 * and the input's value for each level come from there, and every level is equal to the CPU's.
 *
 * source: [height, pitch] bytes; BGR and RGB are interleaved, NV12 is Y and behind it, at `chroma` bytes, the UV plane of
 * half the size with the same pitch. matrix: 0 is BT.601, 1 BT.709, both in video range (Y 16..235).
 * out: float32 [3, input_height, input_width]; padding is `fill` (0..255), normalised like any other level: level * gain + bias.
 */
#ifndef HUMANRT_ON_CPU
#include <stdint.h>
#endif

enum { BGR = 0, RGB = 1, NV12 = 2 };
enum { AREA = 0, LINEAR = 1, CUBIC = 2, PILLOW = 3 };
enum { BITS = 22, HALF = 1 << (BITS - 1) };

typedef struct {
    const uint8_t *source;
    float *out;
    const int32_t *across, *down; /* PILLOW: windows [scaled][2 + taps], as in humanrt/letterbox.py */
    const float *levels;          /* PILLOW: [3][256] */
    int64_t chroma;
    int32_t format, matrix, filter, width, height, pitch;
    int32_t input_width, input_height, scaled_width, scaled_height, left, top;
    int32_t across_taps, down_taps, down_first;
    float fill, gain[3], bias[3];
} Letterbox;

static __device__ float level(float value) { return value < 0 ? 0 : value > 255 ? 255 : value; }

/* R, G, B in 0..255 of a pixel of the source. */
static __device__ void colour(const Letterbox *p, int x, int y, float *rgb) {
    if (p->format != NV12) {
        const uint8_t *at = p->source + (int64_t)y * p->pitch + 3 * x;
        for (int c = 0; c < 3; c++) rgb[c] = at[p->format == BGR ? 2 - c : c];
        return;
    }
    const uint8_t *uv = p->source + p->chroma + (int64_t)(y / 2) * p->pitch + 2 * (x / 2);
    const float light = 1.164384f * fmaxf((float)p->source[(int64_t)y * p->pitch + x] - 16, 0);
    const float u = (float)uv[0] - 128, v = (float)uv[1] - 128;
    rgb[0] = level(light + (p->matrix ? 1.792741f : 1.596027f) * v);
    rgb[1] = level(light - (p->matrix ? 0.213249f : 0.391762f) * u - (p->matrix ? 0.532909f : 0.812968f) * v);
    rgb[2] = level(light + (p->matrix ? 2.112402f : 2.017232f) * u);
}

/* The first source pixel and the number of taps of pixel `i` of `scaled`, along one axis. */
static __device__ int first_tap(int filter, int i, int size, int scaled, int *count) {
    const double ratio = (double)size / scaled;
    if (filter == AREA) {
        const int from = (int)floor(i * ratio + 1e-9), to = (int)ceil((i + 1) * ratio - 1e-9);
        *count = (to < size ? to : size) - from;
        return from;
    }
    *count = filter == LINEAR ? 2 : 4;
    return (int)floor((i + 0.5) * ratio - 0.5) - (filter == LINEAR ? 0 : 1);
}

static __device__ float tap_weight(int filter, int i, int size, int scaled, int at) {
    const double ratio = (double)size / scaled;
    if (filter == AREA) {
        const double low = i * ratio, high = low + ratio;
        return (float)((fmin(high, at + 1.0) - fmax(low, (double)at)) / ratio);
    }
    const double d = fabs((i + 0.5) * ratio - 0.5 - at), a = -0.75;
    if (filter == LINEAR) return (float)(1 - d);
    return (float)(d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a);
}

static __device__ int inside(int at, int size) { return at < 0 ? 0 : at >= size ? size - 1 : at; }

static __device__ int clipped(int sum) {
    const int whole = sum >> BITS;
    return whole < 0 ? 0 : whole > 255 ? 255 : whole;
}

/* Levels of a pixel of the scaled picture. The pass that is the first is done again for every pixel: `inner`. */
static __device__ void pillow(const Letterbox *p, int i, int j, int *rgb) {
    const int32_t *columns = p->across + (int64_t)i * (2 + p->across_taps);
    const int32_t *rows = p->down + (int64_t)j * (2 + p->down_taps);
    const int32_t *inner = p->down_first ? rows : columns, *outer = p->down_first ? columns : rows;
    int sum[3] = {HALF, HALF, HALF};
    for (int o = 0; o < outer[1]; o++) {
        int line[3] = {HALF, HALF, HALF};
        for (int n = 0; n < inner[1]; n++) {
            const int at = inner[0] + n, other = outer[0] + o;
            float pixel[3];
            colour(p, p->down_first ? other : at, p->down_first ? at : other, pixel);
            for (int c = 0; c < 3; c++) line[c] += inner[2 + n] * (int)(pixel[c] + 0.5f);
        }
        for (int c = 0; c < 3; c++) sum[c] += outer[2 + o] * clipped(line[c]);
    }
    for (int c = 0; c < 3; c++) rgb[c] = clipped(sum[c]);
}

extern "C" __global__ void humanrt_letterbox(const Letterbox *letterbox) {
    const Letterbox p = *letterbox;
    const int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), y = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    if (x >= p.input_width || y >= p.input_height) return;
    const int i = x - p.left, j = y - p.top;
    const int64_t plane = (int64_t)p.input_height * p.input_width;
    float *const out = p.out + (int64_t)y * p.input_width + x;
    float sum[3] = {p.fill, p.fill, p.fill};
    if (i >= 0 && j >= 0 && i < p.scaled_width && j < p.scaled_height) {
        if (p.filter == PILLOW) {
            int rgb[3];
            pillow(&p, i, j, rgb);
            for (int c = 0; c < 3; c++) out[c * plane] = p.levels[256 * c + rgb[c]];
            return;
        }
        int columns, rows;
        const int u = first_tap(p.filter, i, p.width, p.scaled_width, &columns);
        const int v = first_tap(p.filter, j, p.height, p.scaled_height, &rows);
        sum[0] = sum[1] = sum[2] = 0;
        for (int row = v; row < v + rows; row++) {
            const float down = tap_weight(p.filter, j, p.height, p.scaled_height, row);
            for (int column = u; column < u + columns; column++) {
                const float weight = down * tap_weight(p.filter, i, p.width, p.scaled_width, column);
                float rgb[3];
                colour(&p, inside(column, p.width), inside(row, p.height), rgb);
                for (int c = 0; c < 3; c++) sum[c] += weight * rgb[c];
            }
        }
    }
    for (int c = 0; c < 3; c++) out[c * plane] = level(sum[c]) * p.gain[c] + p.bias[c];
}
