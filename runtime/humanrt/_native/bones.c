/* Bones of a skeleton held at their lengths, one call a hand or person. The mathematics, the reasons, and the same in
 * numpy: posebert/bones.py.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "export.h"

enum { MOST = 64 }; /* of points with midpoints, of bones and of joints; posebert/bones.py checks it */

static const double TINY = 1e-9;

/* bones.py fills this in (_Layout). Every bone comes after the one before it, every joint after its parent. */
typedef struct {
    int32_t points, pairs, bones, joints, origins, aimed;
    const int32_t *pair;  /* [pairs, 2] points whose midpoints are points + 0, points + 1, ... */
    const int32_t *start; /* [bones] points or midpoints */
    const int32_t *end;
    const int32_t *joint;
    const int32_t *before; /* -1: none */
    const int32_t *twin;
    const int32_t *parents; /* [joints]; -1: none */
    const int32_t *origin;  /* [origins] points */
    const double *rest;     /* [bones, 3] directions at rest */
    const double *cosine;   /* [bones] least cosine of the angle to the bone before */
} Skeleton;

static double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void scale(double *a, double by) { a[0] *= by, a[1] *= by, a[2] *= by; }

/* The points and midpoints [points + pairs, 3]. */
static void fill(const Skeleton *s, const float *points, double *full) {
    for (int32_t i = 0; i < 3 * s->points; i++) full[i] = points[i];
    for (int32_t i = 0; i < s->pairs; i++) {
        const double *a = full + 3 * s->pair[2 * i], *b = full + 3 * s->pair[2 * i + 1];
        for (int k = 0; k < 3; k++) full[3 * (s->points + i) + k] = (a[k] + b[k]) / 2;
    }
}

static double bone(const Skeleton *s, const double *full, int32_t i, double *out) {
    for (int k = 0; k < 3; k++) out[k] = full[3 * s->end[i] + k] - full[3 * s->start[i] + k];
    return sqrt(dot(out, out));
}

static double within(double value, double most) { return fmax(fmin(value, most), -most); }

/* lengths [bones] m: drawn by `gain` towards those of points [points, 3]; an observation counts as at most `outlier` of
 * a length off, and no length changes by more than `most` of itself. */
EXPORT void humanrt_measure_bones(const Skeleton *s, const float *points, double gain, double outlier, double most,
                                  double *lengths);
EXPORT void humanrt_measure_bones(const Skeleton *s, const float *points, double gain, double outlier, double most,
                                  double *lengths) {
    double full[3 * MOST], size[MOST], way[3];
    fill(s, points, full);
    for (int32_t i = 0; i < s->bones; i++) size[i] = bone(s, full, i, way);
    for (int32_t i = 0; i < s->bones; i++) {
        const double off = (size[i] + size[s->twin[i]]) / 2 / lengths[i] - 1;
        lengths[i] *= 1 + within(gain * within(off, outlier), most);
    }
}

/* out [points, 3] m: the points with bones of `lengths` [bones] m, about their origin.
 *
 * rotations: [joints, 3, 3] against the parents'. trust: share of the points in the direction of a whole bone. now:
 * [2, bones, 3] raw and smoothed directions of this frame, written; before: those of the last one, or NULL. gone and
 * lag: of the low pass over the time between the two. */
EXPORT void humanrt_hold_bones(const Skeleton *s, const float *points, const float *rotations, const double *lengths,
                               double trust, double gone, double lag, const double *before, double *now, float *out);
EXPORT void humanrt_hold_bones(const Skeleton *s, const float *points, const float *rotations, const double *lengths,
                               double trust, double gone, double lag, const double *before, double *now, float *out) {
    double full[3 * MOST], net[3 * MOST], world[9 * MOST], ways[3 * MOST];
    fill(s, points, full);
    fill(s, points, net);
    const double *seen_at = s->aimed ? full : net; /* full is changed as bones are placed */
    for (int32_t j = 0; j < s->joints; j++) {
        const float *local = rotations + 9 * j;
        double *turn = world + 9 * j;
        if (s->parents[j] < 0) {
            for (int i = 0; i < 9; i++) turn[i] = local[i];
            continue;
        }
        const double *parent = world + 9 * s->parents[j];
        for (int r = 0; r < 3; r++)
            for (int c = 0; c < 3; c++)
                turn[3 * r + c] = parent[3 * r] * local[c] + parent[3 * r + 1] * local[3 + c] +
                                  parent[3 * r + 2] * local[6 + c];
    }
    for (int32_t i = 0; i < s->bones; i++) {
        const double *turn = world + 9 * s->joint[i], *rest = s->rest + 3 * i;
        double *raw = now + 3 * i, *smooth = raw + 3 * s->bones, *way = ways + 3 * i, seen[3];
        const double turned[3] = {dot(turn, rest), dot(turn + 3, rest), dot(turn + 6, rest)};
        const double size = bone(s, seen_at, i, seen);
        scale(seen, 1 / fmax(size, TINY));
        const double share =
            trust * fmin(size / lengths[i], 1) * fmax(fmin(dot(seen, turned) + 0.5, 1), 0); /* 60 to 120 degrees */
        for (int k = 0; k < 3; k++) raw[k] = turned[k] + share * (seen[k] - turned[k]);
        scale(raw, 1 / sqrt(dot(raw, raw)));
        for (int k = 0; k < 3; k++) {
            smooth[k] = raw[k];
            if (before) {
                const double was = before[3 * i + k], smoothed = before[3 * (i + s->bones) + k];
                smooth[k] += (smoothed - was) * (1 - gone) - (raw[k] - was) * lag;
            }
            way[k] = smooth[k];
        }
        scale(way, 1 / fmax(sqrt(dot(way, way)), TINY));
        if (s->before[i] >= 0) {
            const double *along = ways + 3 * s->before[i];
            const double cosine = dot(along, way), limit = s->cosine[i];
            if (cosine < limit) {
                double aside[3];
                for (int k = 0; k < 3; k++) aside[k] = way[k] - cosine * along[k];
                scale(aside, sqrt(1 - limit * limit) / fmax(sqrt(dot(aside, aside)), TINY));
                for (int k = 0; k < 3; k++) way[k] = limit * along[k] + aside[k];
            }
        }
        for (int k = 0; k < 3; k++) full[3 * s->end[i] + k] = full[3 * s->start[i] + k] + lengths[i] * way[k];
    }
    double middle[3] = {0, 0, 0};
    for (int32_t i = 0; i < s->origins; i++)
        for (int k = 0; k < 3; k++) middle[k] += full[3 * s->origin[i] + k] / s->origins;
    for (int32_t i = 0; i < s->points; i++)
        for (int k = 0; k < 3; k++) out[3 * i + k] = (float)(full[3 * i + k] - middle[k]);
}
