/* One frame out of windows, or what lies between two: what a network says of `now` -> the input of what comes next.
 *
 * windows: [B, T, values]. row: of the frame; part: 0..1 of the way to the next. out: [B, values]. One thread a value.
 */
#ifndef HUMANRT_ON_CPU
#include <stdint.h>
#endif

extern "C" __global__ void humanrt_pick(const float *windows, int32_t count, int32_t frames, int32_t values, int32_t row,
                                        float part, float *out) {
    const int index = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (index >= count * values) return;
    const int window = index / values;
    const float *at = windows + ((int64_t)window * frames + row) * values + index % values;
    out[index] = part > 0 ? at[0] + part * (at[values] - at[0]) : at[0];
}
