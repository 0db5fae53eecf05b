/* Retargeting kernel: wrist frame -> targets -> joint angles, for one hand, in double precision.
 *
 * C99 and nothing but math.h; generic over hands, because everything about the hand and the objective comes in
 * the flat arrays of `Problem` (retarget.h, which the GPU's kernel shares). The numpy module
 * humanrt/retarget/reference.py is the same algorithm, and the test suite holds the two together to 1e-9 rad: change
 * both or neither.
 */
#include <math.h>
#include <stdint.h>

#include "export.h"
#include "retarget.h"

enum { MAX_JOINTS = 64, MAX_VARIABLES = 64, MAX_POINTS = 64, MAX_TASKS = 64 };

typedef struct {
    double cost, gradient[MAX_VARIABLES], hessian[MAX_VARIABLES][MAX_VARIABLES];
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

/* Cost, gradient and Hessian at x: exact, but for collisions, of which it is Gauss-Newton's. */
static void evaluate(const Problem *p, const double *x, const double *pull, const double *rest, Model *m) {
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
    for (int i = 0; i < n; i++) {
        double e = x[i] - rest[i];
        m->cost += pull[i] * e * e;
        m->gradient[i] = 2 * pull[i] * e;
        for (int j = 0; j <= i; j++) m->hessian[i][j] = 0;
        m->hessian[i][i] = 2 * pull[i];
    }

    for (int k = 0; k < p->tasks; k++) {
        const double w = p->weight[k];
        double r[3], f[3], J[MAX_VARIABLES][3], along[MAX_VARIABLES];
        int used[MAX_VARIABLES], count = 0;
        int8_t seen[MAX_VARIABLES];
        if (w == 0) continue;
        const int ends[2] = {p->task_ends[2 * k], p->task_ends[2 * k + 1]};
        for (int c = 0; c < 3; c++) r[c] = point[ends[1]][c] - point[ends[0]][c] - p->target[3 * k + c];
        const double d = sqrt(dot(r, r));
        const int quadratic = d < p->huber;
        const double slope = w / (quadratic ? p->huber : d);
        m->cost += w * (quadratic ? 0.5 * d * d / p->huber : d - 0.5 * p->huber);
        for (int c = 0; c < 3; c++) f[c] = slope * r[c];
        for (int i = 0; i < n; i++) seen[i] = 0;

        for (int end = 0; end < 2; end++) {
            const double sign = end ? 1 : -1;
            const double *tip = point[ends[end]];
            double column[MAX_JOINTS][3];
            int path[MAX_JOINTS], length = 0;
            for (int j = p->point_joint[ends[end]]; j >= 0; j = p->parent[j]) {
                const int v = p->variable[j];
                if (v < 0) continue;
                double *c = column[length];
                if (p->prismatic[j]) {
                    for (int a = 0; a < 3; a++) c[a] = z[j][a];
                } else {
                    double arm[3] = {tip[0] - origin[j][0], tip[1] - origin[j][1], tip[2] - origin[j][2]};
                    cross(z[j], arm, c);
                }
                if (!seen[v]) {
                    seen[v] = 1;
                    used[count++] = v;
                    J[v][0] = J[v][1] = J[v][2] = 0;
                }
                for (int a = 0; a < 3; a++) J[v][a] += sign * p->gain[j] * c[a];
                path[length++] = j;
            }
            /* Curvature of the path: d2p / dqi dqj = zi x (dp / dqj) for i at or above j; path runs tip -> base. */
            for (int i = 0; i < length; i++) {
                double turn[3];
                if (p->prismatic[path[i]]) continue;
                cross(f, z[path[i]], turn);
                const int vi = p->variable[path[i]];
                for (int j = 0; j <= i; j++) {
                    const int vj = p->variable[path[j]];
                    double h = sign * p->gain[path[i]] * p->gain[path[j]] * dot(column[j], turn);
                    if (vi == vj && i != j) h *= 2;
                    if (vi >= vj) m->hessian[vi][vj] += h;
                    else m->hessian[vj][vi] += h;
                }
            }
        }
        for (int i = 0; i < count; i++) {
            const int v = used[i];
            m->gradient[v] += dot(J[v], f);
            along[i] = quadratic ? 0 : dot(J[v], r) / d;
        }
        for (int i = 0; i < count; i++)
            for (int j = 0; j <= i; j++) {
                const int a = used[i] > used[j] ? used[i] : used[j], b = used[i] > used[j] ? used[j] : used[i];
                m->hessian[a][b] += slope * (dot(J[a], J[b]) - along[i] * along[j]);
            }
    }

    /* weight / 2 (reach - distance)^2 where two capsules meet: the active set changes from one evaluation to the next. */
    for (int k = 0; k < p->collisions; k++) {
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
        m->cost += 0.5 * p->collision_weight * depth * depth;
        for (int i = 0; i < n; i++) row[i] = 0;
        for (int end = 0; end < 4; end++)
            for (int j = p->point_joint[ends[end]]; j >= 0; j = p->parent[j]) {
                const int v = p->variable[j];
                double c[3];
                if (v < 0) continue;
                if (p->prismatic[j]) {
                    for (int q = 0; q < 3; q++) c[q] = z[j][q];
                } else {
                    const double *tip = point[ends[end]];
                    double arm[3] = {tip[0] - origin[j][0], tip[1] - origin[j][1], tip[2] - origin[j][2]};
                    cross(z[j], arm, c);
                }
                row[v] += share[end] * p->gain[j] * dot(c, r) / d;
            }
        for (int i = 0; i < n; i++) {
            if (row[i] == 0) continue;
            m->gradient[i] -= p->collision_weight * depth * row[i];
            for (int j = 0; j <= i; j++) m->hessian[i][j] += p->collision_weight * row[i] * row[j];
        }
    }
}

/* Solves (H + damping I) s = -g over the variables of `index`, `fixed` steps of the others given; 0 if not definite. */
static int newton_step(const Model *m, int n, const int8_t *held, double damping, double *step) {
    double L[MAX_VARIABLES][MAX_VARIABLES], y[MAX_VARIABLES];
    int index[MAX_VARIABLES], count = 0;
    for (int i = 0; i < n; i++)
        if (!held[i]) index[count++] = i;
    for (int i = 0; i < count; i++) {
        const int a = index[i];
        double b = -m->gradient[a];
        for (int j = 0; j < n; j++)
            if (held[j] && step[j] != 0) b -= (a >= j ? m->hessian[a][j] : m->hessian[j][a]) * step[j];
        for (int j = 0; j <= i; j++) {
            double s = m->hessian[a][index[j]] + (i == j ? damping : 0);
            for (int k = 0; k < j; k++) s -= L[i][k] * L[j][k];
            if (i == j) {
                if (!(s > 1e-9)) return 0;
                L[i][i] = sqrt(s);
            } else {
                L[i][j] = s / L[j][j];
            }
        }
        for (int k = 0; k < i; k++) b -= L[i][k] * y[k];
        y[i] = b / L[i][i];
    }
    for (int i = count - 1; i >= 0; i--) {
        double s = y[i];
        for (int k = i + 1; k < count; k++) s -= L[k][i] * step[index[k]];
        step[index[i]] = s / L[i][i];
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

/* Minimises over lower <= x <= upper from x, in place. Returns the number of evaluations; *cost is the minimum.
 * rival: the best minimum known, of cost `rival_cost`, or NULL: a search that cannot end below it ends where it is. */
static int minimise(const Problem *p, const double *pull, const double *rest, double *x, double *cost,
                    const double *rival, double rival_cost) {
    const int n = p->variables;
    Model models[2], *now = &models[0], *next = &models[1];
    double step[MAX_VARIABLES], trial[MAX_VARIABLES], damping = 0, unit = 0;
    int8_t held[MAX_VARIABLES];
    int evaluations = 1, stalled = 0;

    for (int i = 0; i < n; i++) x[i] = clip(x[i], p->lower[i], p->upper[i]);
    evaluate(p, x, pull, rest, now);
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
        evaluate(p, trial, pull, rest, next);
        evaluations++;
        const double fall = now->cost - next->cost, promise = predicted(now, n, step);
        if (fall > 1e-4 * promise || (fall >= -1e-13 && largest < 1e-5)) {
            Model *swap = now;
            now = next;
            next = swap;
            for (int i = 0; i < n; i++) x[i] = trial[i];
            if (largest < 1e-9) break;
            if (rival) {
                double apart = 0;
                for (int i = 0; i < n; i++) apart = fmax(apart, fabs(x[i] - rival[i]));
                if (apart < SAME || (damping == 0 && largest < CLOSING && now->cost - 10 * fall > rival_cost)) break;
            }
            if (fall > 0.75 * promise) damping = damping > unit ? 0.125 * damping : 0;
            else if (fall < 0.25 * promise) damping = damping > 0 ? 2 * damping : unit;
        } else {
            if (largest < 1e-9) break;
            damping = damping > 0 ? 4 * damping : unit;
        }
        if (p->collisions) {
            stalled = now->cost < mark * (1 - STALL) ? 0 : stalled + 1;
            if (!stalled) mark = now->cost;
            if (stalled == STALLED) break;
        }
    }
    *cost = now->cost;
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
    evaluate(p, x, pull, rest, &m);
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
    const double both = smoothing + p->rest_weight;
    for (int i = 0; i < 3 * KEYPOINTS; i++)
        if (!isfinite(keypoints[i])) return -1;
    humanrt_targets(p, keypoints, mirror, is_local);
    for (int i = 0; i < p->variables; i++) {
        pull[i] = both;
        centre[i] = both > 0 ? (smoothing * p->x[i] + p->rest_weight * p->rest[i]) / both : p->rest[i];
    }
    int evaluations = minimise(p, pull, centre, p->x, p->cost, 0, 0);
    for (int s = 0; s < p->starts; s++) {
        double other[MAX_VARIABLES], cost;
        for (int i = 0; i < p->variables; i++) other[i] = p->start[s * p->variables + i];
        evaluations += minimise(p, pull, centre, other, &cost, p->x, *p->cost);
        if (cost < *p->cost * (1 - 1e-6)) {
            *p->cost = cost;
            for (int i = 0; i < p->variables; i++) p->x[i] = other[i];
        }
    }
    for (int j = 0; j < p->joints; j++) {
        const double q = p->offset[j] + (p->variable[j] >= 0 ? p->gain[j] * p->x[p->variable[j]] : 0);
        p->q[p->order[j]] = clip(q, p->joint_limits[2 * j], p->joint_limits[2 * j + 1]);
    }
    return evaluations;
}
