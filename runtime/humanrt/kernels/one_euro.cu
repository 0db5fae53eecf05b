/* One-Euro smoothing of the keypoints of a batch of hands: humanrt_one_euro of _native/hand.c, one thread a point.
 *
 * points: [B, count, dims] as the network gives them. dt: [B] s since the hand's last frame; below 0 the hand is new and
 * its points pass, 0 gives the last result again. first, last: indices of the keypoints whose distance counts as 1 in
 * beta (0, 9: wrist to middle knuckle); below 0 the unit is 1. keep of the derivative is made from `derivative_cutoff`
 * here. raw, smooth, velocity: [B, count, dims] state. out: [B, count, dims] the result, for what comes next.
 */
#ifndef HUMANRT_ON_CPU
#include <stdint.h>
#endif

extern "C" __global__ void humanrt_one_euro(const float *points, int32_t hands, int32_t count, int32_t dims,
                                            const double *dt, int32_t first, int32_t last, double cutoff, double beta,
                                            double derivative_cutoff, double *raw, double *smooth, double *velocity,
                                            float *out) {
    const int index = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (index >= hands * count) return;
    const int hand = index / count, from = index * dims;
    const double seconds = dt[hand];
    if (seconds < 0) {
        for (int k = from; k < from + dims; k++) {
            raw[k] = smooth[k] = points[k];
            velocity[k] = 0;
            out[k] = points[k];
        }
        return;
    }
    if (seconds == 0) {
        for (int k = from; k < from + dims; k++) out[k] = (float)smooth[k];
        return;
    }
    double unit = 1;
    if (first >= 0) {
        double span = 0;
        for (int k = 0; k < dims; k++) {
            const double d = (double)points[(hand * count + last) * dims + k] - points[(hand * count + first) * dims + k];
            span += d * d;
        }
        unit = fmax(sqrt(span), 1e-9);
    }
    const double turns = 2 * 3.14159265358979323846 * seconds, keep = exp(-turns * derivative_cutoff);
    double square = 0;
    for (int k = from; k < from + dims; k++) {
        velocity[k] = keep * velocity[k] + (1 - keep) * (points[k] - raw[k]) / seconds;
        square += velocity[k] * velocity[k];
    }
    /* dy/dt = 2 pi fc (x(t) - y), with x(t) straight from the last raw point to this one; see smooth.py */
    const double fall = turns * (cutoff + beta * sqrt(square) / unit), gone = -expm1(-fall), lag = gone / fall;
    for (int k = from; k < from + dims; k++) {
        const double step = points[k] - raw[k];
        smooth[k] = points[k] - step * lag + (smooth[k] - raw[k]) * (1 - gone);
        raw[k] = points[k];
        out[k] = (float)smooth[k];
    }
}
