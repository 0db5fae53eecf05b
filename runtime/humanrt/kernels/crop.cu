/* A rotated square of a frame on the GPU -> a network's input: humanrt_crop of _native/crop.c, one thread a pixel.
 *
 * Bilinear, with pixel centres at whole numbers and black outside the frame. source: [height, pitch] bytes, RGB
 * interleaved. affine: row by row, from pixels of the square to pixels of the frame. out: float32 [3, side, side], 0..1.
 */
#ifndef HUMANRT_ON_CPU
#include <stdint.h>
#endif

typedef struct {
    const uint8_t *source;
    float *out;
    double affine[6];
    int32_t width, height, pitch, side;
} Crop;

extern "C" __global__ void humanrt_crop(const Crop *crop) {
    const Crop p = *crop;
    const int u = (int)(blockIdx.x * blockDim.x + threadIdx.x), v = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    if (u >= p.side || v >= p.side) return;
    const double x = p.affine[0] * u + p.affine[1] * v + p.affine[2];
    const double y = p.affine[3] * u + p.affine[4] * v + p.affine[5];
    float sum[3] = {0, 0, 0};
    /* Written so that nan and infinity are outside. */
    if (x > -1 && x < p.width && y > -1 && y < p.height) {
        const int x0 = (int)floor(x), y0 = (int)floor(y);
        const float fx = (float)(x - x0), fy = (float)(y - y0);
        for (int i = 0; i < 4; i++) {
            const int xi = x0 + (i & 1), yi = y0 + (i >> 1);
            if (xi < 0 || yi < 0 || xi >= p.width || yi >= p.height) continue;
            const float weight = (i & 1 ? fx : 1 - fx) * (i >> 1 ? fy : 1 - fy) * (1.0f / 255);
            const uint8_t *at = p.source + (int64_t)yi * p.pitch + 3 * xi;
            for (int c = 0; c < 3; c++) sum[c] += weight * at[c];
        }
    }
    const int64_t plane = (int64_t)p.side * p.side;
    for (int c = 0; c < 3; c++) p.out[c * plane + (int64_t)v * p.side + u] = sum[c];
}
