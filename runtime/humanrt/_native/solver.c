/* Retargeting kernel: wrist frame -> targets -> joint angles, for one hand, in double precision.
 *
 * C99 and nothing but math.h; generic over hands, because everything about the hand and the objective comes in
 * the flat arrays of `Problem` (retarget.h, which the GPU's kernel shares). The numpy module
 * humanrt/retarget/reference.py is the same algorithm, and the test suite holds the two together to 1e-9 rad: change
 * both or neither.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "export.h"
#include "retarget.h"

enum { MAX_JOINTS = 64, MAX_VARIABLES = 64, MAX_POINTS = 64, MAX_TASKS = 64, MAX_LEVERS = 1024 };
/* Ends of searches that are remembered, so that none is searched on twice. */
enum { MAX_STARTS = 8 };

typedef struct {
    double cost, gradient[MAX_VARIABLES], hessian[MAX_VARIABLES][MAX_VARIABLES];
    int contacts; /* pairs of capsules that meet */
} Model;

/* Fractions s, t along the segments a0 a1 and b0 b1 at which they are nearest (Ericson 2005, Real-Time Collision
 * Detection, 5.1.9); r is the vector between these places, from a to b. Returns its length. */
static double nearest(const double *a0, const double *a1, const double *b0, const double *b1, double *s, double *t,
                      double *r) {
    double u[3], v[3], w[3];
    for (int c = 0; c < 3; c++) u[c] = a1[c] - a0[c], v[c] = b1[c] - b0[c], w[c] = a0[c] - b0[c];
    const double a = dot(u, u), e = dot(v, v), f = dot(v, w), tiny = 1e-12;
    if (a <= tiny) {
        *s = 0;
        *t = e <= tiny ? 0 : clip(f / e, 0, 1);
    } else {
        const double g = dot(u, w);
        if (e <= tiny) {
            *t = 0;
            *s = clip(-g / a, 0, 1);
        } else {
            const double b = dot(u, v), d = a * e - b * b;
            *s = d > tiny * a * e ? clip((b * f - g * e) / d, 0, 1) : 0;
            *t = (b * *s + f) / e;
            if (*t < 0) *t = 0, *s = clip(-g / a, 0, 1);
            else if (*t > 1) *t = 1, *s = clip((b - g) / a, 0, 1);
        }
    }
    for (int c = 0; c < 3; c++) r[c] = b0[c] + *t * v[c] - a0[c] - *s * u[c];
    return sqrt(dot(r, r));
}

/* S v for a symmetric S [6]. */
static void stretch(const double *S, const double *v, double *out) {
    out[0] = S[0] * v[0] + S[1] * v[1] + S[3] * v[2];
    out[1] = S[1] * v[0] + S[2] * v[1] + S[4] * v[2];
    out[2] = S[3] * v[0] + S[4] * v[1] + S[5] * v[2];
}

/* Cost, gradient and Hessian at x: exact, but for collisions, of which it is Gauss-Newton's. */
static void evaluate(const Problem *p, const double *x, const double *pull, const double *rest, int collisions, Model *m) {
    double R[MAX_JOINTS][9], origin[MAX_JOINTS][3], z[MAX_JOINTS][3], point[MAX_POINTS][3];
    const int n = p->variables;

    for (int j = 0; j < p->joints; j++) {
        const double *P = p->placement + 12 * j, *u = p->axis + 3 * j;
        double S[9];
        const int parent = p->parent[j], v = p->variable[j];
        if (parent < 0) {
            for (int i = 0; i < 9; i++) S[i] = P[i];
            for (int i = 0; i < 3; i++) origin[j][i] = P[9 + i];
        } else {
            const double *Q = R[parent];
            for (int r = 0; r < 3; r++) {
                for (int c = 0; c < 3; c++) S[3 * r + c] = Q[3 * r] * P[c] + Q[3 * r + 1] * P[3 + c] + Q[3 * r + 2] * P[6 + c];
                origin[j][r] = origin[parent][r] + dot(Q + 3 * r, P + 9);
            }
        }
        for (int r = 0; r < 3; r++) z[j][r] = dot(S + 3 * r, u);
        double q = p->offset[j] + (v >= 0 ? p->gain[j] * x[v] : 0);
        if (p->prismatic[j]) {
            for (int i = 0; i < 9; i++) R[j][i] = S[i];
            for (int r = 0; r < 3; r++) origin[j][r] += q * z[j][r];
        } else { /* about the axis in the joint's own frame */
            double M[9];
            turn(u, q, M);
            for (int r = 0; r < 3; r++)
                for (int c2 = 0; c2 < 3; c2++)
                    R[j][3 * r + c2] = S[3 * r] * M[c2] + S[3 * r + 1] * M[3 + c2] + S[3 * r + 2] * M[6 + c2];
        }
    }
    for (int i = 0; i < p->points; i++) {
        const int j = p->point_joint[i];
        const double *xyz = p->point_xyz + 3 * i;
        for (int r = 0; r < 3; r++) point[i][r] = j < 0 ? xyz[r] : origin[j][r] + dot(R[j] + 3 * r, xyz);
    }

    m->cost = 0;
    m->contacts = 0;
    for (int i = 0; i < n; i++) {
        double e = x[i] - rest[i];
        m->cost += pull[i] * e * e;
        m->gradient[i] = 2 * pull[i] * e;
        for (int j = 0; j <= i; j++) m->hessian[i][j] = 0;
        m->hessian[i][i] = 2 * pull[i];
    }

    /* Of every point the joints between it and the base, tip first: how fast each moves it, m/rad, and its variable. */
    double lever[MAX_LEVERS][3];
    int32_t of[MAX_LEVERS], from[MAX_POINTS + 1];
    from[0] = 0;
    for (int i = 0; i < p->points; i++) {
        int at = from[i];
        for (int j = p->point_joint[i]; j >= 0; j = p->parent[j]) {
            if (p->variable[j] < 0) continue;
            double *c = lever[at];
            if (p->prismatic[j]) {
                for (int q = 0; q < 3; q++) c[q] = z[j][q];
            } else {
                const double arm[3] = {point[i][0] - origin[j][0], point[i][1] - origin[j][1], point[i][2] - origin[j][2]};
                cross(z[j], arm, c);
            }
            for (int q = 0; q < 3; q++) c[q] *= p->gain[j];
            of[at++] = j;
        }
        from[i + 1] = at;
    }

    /* What the tasks do to each point: the force, and the stiffness (symmetric: xx, yx, yy, zx, zy, zz). */
    double force[MAX_POINTS][3], stiffness[MAX_POINTS][6];
    for (int i = 0; i < p->points; i++) {
        for (int c = 0; c < 3; c++) force[i][c] = 0;
        for (int c = 0; c < 6; c++) stiffness[i][c] = 0;
    }
    for (int k = 0; k < p->tasks; k++) {
        const double w = p->weight[k];
        if (w == 0) continue;
        const int first = p->task_ends[2 * k], second = p->task_ends[2 * k + 1];
        double r[3];
        for (int c = 0; c < 3; c++) r[c] = point[second][c] - point[first][c] - p->target[3 * k + c];
        const double d = sqrt(dot(r, r));
        const int quadratic = d < p->huber;
        const double slope = w / (quadratic ? p->huber : d), along = quadratic ? 0 : slope / (d * d);
        m->cost += w * (quadratic ? 0.5 * d * d / p->huber : d - 0.5 * p->huber);
        const double S[6] = {slope - along * r[0] * r[0], -along * r[1] * r[0], slope - along * r[1] * r[1],
                             -along * r[2] * r[0],        -along * r[2] * r[1], slope - along * r[2] * r[2]};
        for (int c = 0; c < 3; c++) force[first][c] -= slope * r[c], force[second][c] += slope * r[c];
        for (int c = 0; c < 6; c++) stiffness[first][c] += S[c], stiffness[second][c] += S[c];
        for (int i = from[first]; i < from[first + 1]; i++) {
            double pulled[3];
            const int vi = p->variable[of[i]];
            stretch(S, lever[i], pulled);
            for (int j = from[second]; j < from[second + 1]; j++) {
                const int vj = p->variable[of[j]];
                const double h = dot(pulled, lever[j]);
                if (vi > vj) m->hessian[vi][vj] -= h;
                else m->hessian[vj][vi] -= vi == vj ? 2 * h : h;
            }
        }
    }
    for (int point_index = 0; point_index < p->points; point_index++) {
        const int begin = from[point_index], end = from[point_index + 1];
        const double *f = force[point_index];
        if (stiffness[point_index][0] == 0 && stiffness[point_index][2] == 0) continue; /* no task moves it */
        /* Curvature of the path: d2p / dqi dqj = zi x (dp / dqj) for i at or above j. */
        for (int i = begin; i < end; i++) {
            const int joint = of[i], vi = p->variable[joint];
            double pulled[3];
            m->gradient[vi] += dot(lever[i], f);
            stretch(stiffness[point_index], lever[i], pulled);
            if (!p->prismatic[joint]) {
                double turned[3];
                cross(f, z[joint], turned);
                for (int c = 0; c < 3; c++) pulled[c] += p->gain[joint] * turned[c];
            }
            for (int j = begin; j <= i; j++) {
                const int vj = p->variable[of[j]];
                const double h = dot(pulled, lever[j]);
                if (vi > vj) m->hessian[vi][vj] += h;
                else m->hessian[vj][vi] += vi == vj && i != j ? 2 * h : h;
            }
        }
    }

    /* weight / 2 (reach - distance)^2 where two capsules meet: the active set changes between evaluations. */
    for (int k = 0; k < collisions; k++) {
        const int32_t *ends = p->collision_points + 4 * k;
        const double *a0 = point[ends[0]], *a1 = point[ends[1]], *b0 = point[ends[2]], *b1 = point[ends[3]];
        const double reach = p->collision_reach[k];
        double r[3], s, t, between[3], row[MAX_VARIABLES];
        /* Their bounding spheres first: most pairs are far apart. */
        double first = 0, second = 0, apart = 0;
        for (int c = 0; c < 3; c++) {
            between[c] = b0[c] + b1[c] - a0[c] - a1[c];
            first += (a1[c] - a0[c]) * (a1[c] - a0[c]);
            second += (b1[c] - b0[c]) * (b1[c] - b0[c]);
            apart += between[c] * between[c];
        }
        if (apart > 4 * reach * reach && apart > 9 * (reach * reach + first + second)) continue;
        const double d = nearest(a0, a1, b0, b1, &s, &t, r);
        if (d >= reach || d < 1e-9) continue;
        const double depth = reach - d, share[4] = {s - 1, -s, 1 - t, t};
        m->contacts++;
        m->cost += 0.5 * p->collision_weight * depth * depth;
        for (int i = 0; i < n; i++) row[i] = 0;
        for (int end = 0; end < 4; end++)
            for (int i = from[ends[end]]; i < from[ends[end] + 1]; i++)
                row[p->variable[of[i]]] += share[end] * dot(lever[i], r) / d;
        for (int i = 0; i < n; i++) {
            if (row[i] == 0) continue;
            m->gradient[i] -= p->collision_weight * depth * row[i];
            for (int j = 0; j <= i; j++) m->hessian[i][j] += p->collision_weight * row[i] * row[j];
        }
    }
}

/* Solves (H + damping I) s = -g over the variables that are not held, the others' steps given; 0 if not definite.
 * L D L^T, column by column, so that what is zero between fingers costs nothing and the rest is done two at a time. */
static int newton_step(const Model *m, int n, const int8_t *held, double damping, double *step) {
    double L[MAX_VARIABLES][MAX_VARIABLES], y[MAX_VARIABLES], column[MAX_VARIABLES];
    int index[MAX_VARIABLES], count = 0;
    for (int i = 0; i < n; i++)
        if (!held[i]) index[count++] = i;
    for (int i = 0; i < count; i++) {
        const int a = index[i];
        y[i] = -m->gradient[a];
        for (int j = 0; j < i; j++) L[i][j] = m->hessian[a][index[j]];
        L[i][i] = m->hessian[a][a] + damping;
    }
    for (int j = 0; count < n && j < n; j++) {
        if (!held[j] || step[j] == 0) continue;
        for (int i = 0; i < count; i++) {
            const int a = index[i];
            y[i] -= (a >= j ? m->hessian[a][j] : m->hessian[j][a]) * step[j];
        }
    }
    for (int k = 0; k < count; k++) {
        if (!(L[k][k] > 1e-9)) return 0;
        const double inverse = 1 / L[k][k];
        for (int i = k + 1; i < count; i++) column[i] = L[i][k];
        for (int i = k + 1; i < count; i++) {
            if (column[i] == 0) continue;
            const double share = column[i] * inverse;
            double *row = L[i];
            for (int j = k + 1; j <= i; j++) row[j] -= share * column[j];
            row[k] = share;
            y[i] -= share * y[k];
        }
        y[k] *= inverse;
    }
    for (int i = count - 1; i >= 0; i--) {
        const double s = y[i];
        const double *row = L[i];
        for (int k = 0; k < i; k++) y[k] -= row[k] * s;
        step[index[i]] = s;
    }
    return 1;
}

static double predicted(const Model *m, int n, const double *step) {
    double fall = 0;
    for (int i = 0; i < n; i++) {
        double h = 0.5 * m->hessian[i][i] * step[i];
        for (int j = 0; j < i; j++) h += m->hessian[i][j] * step[j];
        fall -= step[i] * (m->gradient[i] + h);
    }
    return fall;
}

/* Largest difference of two points [n]. */
static double apart(int n, const double *a, const double *b) {
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, fabs(a[i] - b[i]));
    return most;
}

/* Minimises over lower <= x <= upper from x, in place. Returns the number of evaluations; *cost is the minimum.
 * collisions: how many pairs of capsules count.
 * rival: the best minimum known, of cost `rival_cost`, or NULL: a search that cannot end below it ends where it is.
 * *has_stalled: whether it ended where capsules meet and its steps gained hardly anything. */
static int minimise(const Problem *p, const double *pull, const double *rest, int collisions, double *x, double *cost,
                    const double *rival, double rival_cost, int *has_stalled) {
    const int n = p->variables;
    Model models[2], *now = &models[0], *next = &models[1];
    double step[MAX_VARIABLES], trial[MAX_VARIABLES], damping = 0, unit = 0;
    int8_t held[MAX_VARIABLES];
    int evaluations = 1, stalled = 0;

    for (int i = 0; i < n; i++) x[i] = clip(x[i], p->lower[i], p->upper[i]);
    evaluate(p, x, pull, rest, collisions, now);
    for (int i = 0; i < n; i++) unit += fabs(now->hessian[i][i]);
    unit = unit > 0 ? 1e-3 * unit / n : 1e-6;

    double mark = now->cost;
    while (evaluations < p->max_iterations) {
        double slope = 0, largest = 0;
        for (int i = 0; i < n; i++) {
            const double g = now->gradient[i];
            held[i] = (x[i] <= p->lower[i] && g >= 0) || (x[i] >= p->upper[i] && g <= 0);
            step[i] = 0;
            if (!held[i] && fabs(g) > slope) slope = fabs(g);
        }
        if (slope <= p->tolerance) break;

        /* The damped model within the box: a variable whose step leaves it is held at the border, and so on. */
        int solved = 0;
        for (int round = 0; round <= n; round++) {
            int left = 0;
            solved = newton_step(now, n, held, damping, step);
            if (!solved) break;
            for (int i = 0; i < n; i++) {
                if (held[i]) continue;
                const double to = x[i] + step[i];
                if (to < p->lower[i] || to > p->upper[i]) {
                    step[i] = (to < p->lower[i] ? p->lower[i] : p->upper[i]) - x[i];
                    held[i] = 1;
                    left = 1;
                }
            }
            if (!left) break;
        }
        if (!solved) {
            damping = damping > 0 ? 4 * damping : unit;
            if (damping > 1e12 * unit) break;
            continue;
        }
        for (int i = 0; i < n; i++) {
            trial[i] = clip(x[i] + step[i], p->lower[i], p->upper[i]);
            step[i] = trial[i] - x[i];
            if (fabs(step[i]) > largest) largest = fabs(step[i]);
        }
        evaluate(p, trial, pull, rest, collisions, next);
        evaluations++;
        const double fall = now->cost - next->cost, promise = predicted(now, n, step);
        if (fall > 1e-4 * promise || (fall >= -1e-13 && largest < 1e-5)) {
            Model *swap = now;
            now = next;
            next = swap;
            for (int i = 0; i < n; i++) x[i] = trial[i];
            if (largest < 1e-9) break;
            if (rival) {
                if (apart(n, x, rival) < SAME || (damping == 0 && largest < CLOSING && now->cost - 10 * fall > rival_cost)) break;
            }
            if (fall > 0.75 * promise) damping = damping > unit ? 0.125 * damping : 0;
            else if (fall < 0.25 * promise) damping = damping > 0 ? 2 * damping : unit;
        } else {
            if (largest < 1e-9) break;
            damping = damping > 0 ? (now->contacts ? AT_KINKS : 4) * damping : unit;
        }
        if (collisions) {
            stalled = !now->contacts || now->cost < mark * (1 - STALL) ? 0 : stalled + 1;
            if (!stalled) mark = now->cost;
            if (stalled == STALLED) break;
        }
    }
    *cost = now->cost;
    *has_stalled = stalled == STALLED;
    return evaluations;
}

/* Keypoints in camera axes -> wrist frame, targets. mirror: the keypoints are of the other hand. */
EXPORT void humanrt_targets(Problem *p, const double *keypoints, int32_t mirror, int32_t is_local) {
    double points[3 * KEYPOINTS], local[3 * KEYPOINTS], M[9], size = 1;
    for (int i = 0; i < 3 * KEYPOINTS; i++) points[i] = (mirror && i % 3 == (is_local ? 1 : 0)) ? -keypoints[i] : keypoints[i];
    if (is_local) {
        for (int i = 0; i < 9; i++) M[i] = p->base_rotation[i];
    } else {
        size = wrist_frame(p, points, p->frame, p->has_frame);
        for (int r = 0; r < 3; r++) /* base <- wrist <- camera */
            for (int c = 0; c < 3; c++) {
                M[3 * r + c] = 0;
                for (int a = 0; a < 3; a++) M[3 * r + c] += p->base_rotation[3 * r + a] * p->frame[3 * c + a];
            }
    }
    for (int i = 0; i < KEYPOINTS; i++)
        for (int r = 0; r < 3; r++) local[3 * i + r] = dot(M + 3 * r, points + 3 * i);
    for (int k = 0; k < p->tasks; k++) set_target(p, k, local, size, p->projected, p->target + 3 * k, p->weight + k);
}

/* Cost, gradient [N] and Hessian [N, N] at x, for the tests and for cost(). */
EXPORT double humanrt_evaluate(const Problem *p, const double *pull, const double *rest, const double *x,
                               double *gradient, double *hessian) {
    Model m;
    evaluate(p, x, pull, rest, p->collisions, &m);
    for (int i = 0; i < p->variables; i++) {
        gradient[i] = m.gradient[i];
        for (int j = 0; j < p->variables; j++)
            hessian[i * p->variables + j] = i >= j ? m.hessian[i][j] : m.hessian[j][i];
    }
    return m.cost;
}

/* One frame, whole. smoothing: weight of |x - last x|^2. Returns the number of evaluations, or -1 when a keypoint is
 * not a finite number. */
EXPORT int32_t humanrt_solve(Problem *p, const double *keypoints, int32_t mirror, int32_t is_local, double smoothing) {
    double pull[MAX_VARIABLES], centre[MAX_VARIABLES];
    const int n = p->variables;
    const double both = smoothing + p->rest_weight;
    for (int i = 0; i < 3 * KEYPOINTS; i++)
        if (!isfinite(keypoints[i])) return -1;
    humanrt_targets(p, keypoints, mirror, is_local);
    for (int i = 0; i < n; i++) {
        pull[i] = both;
        centre[i] = both > 0 ? (smoothing * p->x[i] + p->rest_weight * p->rest[i]) / both : p->rest[i];
    }
    int stalled, ended, evaluations = minimise(p, pull, centre, p->collisions, p->x, p->cost, 0, 0, &stalled);
    double found[MAX_STARTS][MAX_VARIABLES]; /* where searches that are not given up ended without collisions */
    int others = 0;
    for (int s = 0; s < p->starts; s++) {
        double other[MAX_VARIABLES], cost;
        for (int i = 0; i < n; i++) other[i] = p->start[s * n + i];
        evaluations += minimise(p, pull, centre, 0, other, &cost, p->x, *p->cost, &ended);
        if (p->collisions) {
            /* Collisions only add to the cost: what is no better without them, or already known, is not searched on. */
            int known = cost >= *p->cost || apart(n, other, p->x) < SAME;
            for (int k = 0; k < others; k++) known |= apart(n, other, found[k]) < SAME;
            if (known) continue;
            if (others < MAX_STARTS) memcpy(found[others++], other, sizeof other);
            evaluations += minimise(p, pull, centre, p->collisions, other, &cost, p->x, *p->cost, &ended);
        }
        if (cost < *p->cost * (1 - 1e-6)) {
            *p->cost = cost;
            stalled = ended;
            for (int i = 0; i < n; i++) p->x[i] = other[i];
        }
    }
    /* Where the hand goes to is worth a second search, if the first has stalled at a kink. */
    if (stalled) evaluations += minimise(p, pull, centre, p->collisions, p->x, p->cost, 0, 0, &ended);
    for (int j = 0; j < p->joints; j++) {
        const double q = p->offset[j] + (p->variable[j] >= 0 ? p->gain[j] * p->x[p->variable[j]] : 0);
        p->q[p->order[j]] = clip(q, p->joint_limits[2 * j], p->joint_limits[2 * j + 1]);
    }
    return evaluations;
}
