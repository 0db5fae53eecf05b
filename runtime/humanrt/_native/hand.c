/* The small sums around the landmark network, in one call each: after a network has swept the caches, a dozen calls of
 * numpy take longer than their arithmetic by a factor of a hundred. The same in numpy: hands/placement.py, smooth.py.
 */
#include <math.h>
#include <stdint.h>

#include "export.h"

/* Keypoints of the crop -> of the image, and the region that holds them.
 *
 * pixels, metres: [count, 3] as the network gives them; map: [2, 3] crop px -> image px; c, s: cosine and sine of the
 * crop's angle. ends: [2, count] weights of the two points whose connection is upright in the crop. inside: [insiders]
 * indices of the keypoints that the region holds. out_pixels: [count, 2]; out_metres: [count, 3]; out_box: [5] angle,
 * centre x, y, width, height of the insiders' box along the new crop's axes. Returns 0, and no box, when a
 * keypoint is not a finite number. */
EXPORT int32_t humanrt_place(const float *pixels, const float *metres, int32_t count, double a, double b, double x,
                             double d, double e, double y, double c, double s, const double *ends,
                             const int32_t *inside, int32_t insiders, float *out_pixels, float *out_metres,
                             double *out_box);
EXPORT int32_t humanrt_place(const float *pixels, const float *metres, int32_t count, double a, double b, double x,
                             double d, double e, double y, double c, double s, const double *ends,
                             const int32_t *inside, int32_t insiders, float *out_pixels, float *out_metres,
                             double *out_box) {
    double start[2] = {0, 0}, end[2] = {0, 0}, sum = 0;
    for (int32_t i = 0; i < count; i++) {
        const double u = pixels[3 * i], v = pixels[3 * i + 1];
        const double px = a * u + b * v + x, py = d * u + e * v + y;
        const double mx = metres[3 * i], my = metres[3 * i + 1], mz = metres[3 * i + 2];
        start[0] += ends[i] * px, start[1] += ends[i] * py;
        end[0] += ends[count + i] * px, end[1] += ends[count + i] * py;
        out_pixels[2 * i] = (float)px, out_pixels[2 * i + 1] = (float)py;
        /* The network sees the hand upright; its metric axes are turned back to the camera's. */
        out_metres[3 * i] = (float)(c * mx - s * my);
        out_metres[3 * i + 1] = (float)(s * mx + c * my);
        out_metres[3 * i + 2] = (float)mz;
        sum += px + py + mx + my + mz;
    }
    if (!isfinite(sum)) return 0;

    /* The box is taken in the frame turned by the new angle, so that a hand on its side gets no larger region. */
    const double pi = 3.14159265358979323846;
    double angle = pi / 2 - atan2(start[1] - end[1], end[0] - start[0]);
    angle -= 2 * pi * floor((angle + pi) / (2 * pi));
    const double cn = cos(angle), sn = sin(angle);
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int32_t k = 0; k < insiders; k++) {
        const double u = pixels[3 * inside[k]], v = pixels[3 * inside[k] + 1];
        const double px = a * u + b * v + x, py = d * u + e * v + y;
        const double along[2] = {cn * px + sn * py, cn * py - sn * px};
        for (int i = 0; i < 2; i++) low[i] = fmin(low[i], along[i]), high[i] = fmax(high[i], along[i]);
    }
    const double u = (low[0] + high[0]) / 2, v = (low[1] + high[1]) / 2;
    out_box[0] = angle;
    out_box[1] = cn * u - sn * v;
    out_box[2] = sn * u + cn * v;
    out_box[3] = high[0] - low[0];
    out_box[4] = high[1] - low[1];
    return 1;
}

/* One step of the One-Euro filter for points [count, dims] over dt s, each point with its own speed; smooth.py has the
 * mathematics. raw, smooth, velocity: [count, dims] state, changed in place; smooth is the result. */
EXPORT void humanrt_one_euro(const double *points, int32_t count, int32_t dims, double dt, double unit, double cutoff,
                             double beta, double keep, double *raw, double *smooth, double *velocity);
EXPORT void humanrt_one_euro(const double *points, int32_t count, int32_t dims, double dt, double unit, double cutoff,
                             double beta, double keep, double *raw, double *smooth, double *velocity) {
    const double turns = 2 * 3.14159265358979323846 * dt;
    for (int32_t i = 0; i < count; i++) {
        const int32_t first = i * dims;
        double square = 0;
        for (int32_t k = first; k < first + dims; k++) {
            velocity[k] = keep * velocity[k] + (1 - keep) * (points[k] - raw[k]) / dt;
            square += velocity[k] * velocity[k];
        }
        const double fall = turns * (cutoff + beta * sqrt(square) / unit), gone = -expm1(-fall), lag = gone / fall;
        for (int32_t k = first; k < first + dims; k++) {
            const double step = points[k] - raw[k];
            smooth[k] = points[k] - step * lag + (smooth[k] - raw[k]) * (1 - gone);
            raw[k] = points[k];
        }
    }
}
