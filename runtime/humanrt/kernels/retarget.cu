/* Retargeting on the GPU: keypoints of a batch of hands -> joint angles of one robot hand each. One warp a hand.
 *
 * The mathematics of _native/solver.c, in double precision as there, with which it shares _native/retarget.h: the same
 * objective, its exact Hessian, the same damped Newton within the box and the same starts. Three sums are arranged
 * otherwise, so that lanes share the work:
 * J of every task and variable is made once; the curvature of the paths is a sum over pairs of joints,
 * z_i . T_j with T_j = sum over the points beyond j of (dp / dq_j) x force; and Cholesky goes column by column.
 * Every lane takes the same branch: what decides is computed by all of them from the same shared numbers.
 *
 * One block of one warp for each hand (or of 1 lane, in tests). Dynamic shared memory: `shared_bytes` of
 * kernels/retarget.py. Frames and units: as in solver.c.
 */
#ifndef HUMANRT_ON_CPU
#include <stdint.h>
#endif

#include "../_native/retarget.h"

/* The objective around a point. hessian: [N, N], the lower triangle. */
typedef struct {
    double *x, *gradient, *hessian, *cost;
} Model;

/* What one hand needs beside its state, in shared memory. */
typedef struct {
    double *keypoints, *target, *weight;                     /* [21, 3], [K, 3], [K] */
    double *local, *turned, *R, *origin, *z, *torque, *angle; /* [J, 9] x 3, [J, 3] x 3, [J] */
    double *point, *force, *residual, *slope, *parts, *J, *along; /* [P, 3] x 2, [K, 4], [K], [K], [K, N, 3], [K, N] */
    double *L, *b, *step, *centre, *best, *rows;             /* [N, N], [N] x 5 */
    double *scalars;                                         /* [1] the palm's size */
    int32_t *index, *held;                                    /* [N], [N] */
    Model now, next;
} Work;

#define EACH(i, n) for (int i = (int)threadIdx.x; i < (n); i += (int)blockDim.x)
#define FIRST if (threadIdx.x == 0)

static __device__ double *take(double **free, int count) {
    double *taken = *free;
    *free += count;
    return taken;
}

static __device__ void lay_out(const Problem *p, double *memory, Work *w) {
    const int J = p->joints, N = p->variables, P = p->points, K = p->tasks;
    double **m = &memory;
    w->keypoints = take(m, 3 * KEYPOINTS), w->target = take(m, 3 * K), w->weight = take(m, K);
    w->local = take(m, 9 * J), w->turned = take(m, 3 * J), w->R = take(m, 9 * J);
    w->origin = take(m, 3 * J), w->z = take(m, 3 * J), w->torque = take(m, 3 * J), w->angle = take(m, J);
    w->point = take(m, 3 * P), w->force = take(m, 3 * P);
    w->residual = take(m, 4 * K), w->slope = take(m, K), w->parts = take(m, K);
    w->J = take(m, 3 * K * N), w->along = take(m, K * N);
    w->L = take(m, N * N), w->b = take(m, N), w->step = take(m, N);
    w->centre = take(m, N), w->best = take(m, N), w->rows = take(m, N), w->scalars = take(m, 1);
    Model *models[2] = {&w->now, &w->next};
    for (int i = 0; i < 2; i++) {
        models[i]->x = take(m, N), models[i]->gradient = take(m, N);
        models[i]->hessian = take(m, N * N), models[i]->cost = take(m, 1);
    }
    w->index = (int32_t *)take(m, (N + 1) / 2), w->held = (int32_t *)take(m, (N + 1) / 2);
}

/* Keypoints (w->keypoints, camera axes) -> target and weight of every task. */
static __device__ __noinline__ void set_targets(const Problem *p, Work *w, int hand, int is_local) {
    int32_t *projected = p->projected + hand * p->tasks;
    FIRST w->scalars[0] = is_local ? 1 : wrist_frame(p, w->keypoints, p->frame + 9 * hand, p->has_frame + hand);
    __syncwarp();
    const double size = w->scalars[0];
    const double *frame = p->frame + 9 * hand;
    double points[3];
    EACH(i, KEYPOINTS) {
        double *at = w->keypoints + 3 * i;
        for (int r = 0; r < 3; r++) points[r] = at[r];
        for (int r = 0; r < 3; r++) { /* base <- wrist <- camera */
            double row[3];
            for (int c = 0; c < 3; c++) {
                row[c] = p->base_rotation[3 * r + c];
                if (!is_local) {
                    row[c] = 0;
                    for (int a = 0; a < 3; a++) row[c] += p->base_rotation[3 * r + a] * frame[3 * c + a];
                }
            }
            at[r] = dot(row, points);
        }
    }
    __syncwarp();
    /* DexPilot's fingers look at what its thumb decided: two rounds. */
    for (int round = 0; round < 2; round++) {
        EACH(k, p->tasks) {
            if ((p->task_kind[k] == DEXPILOT_FINGERS) != round) continue;
            set_target(p, k, w->keypoints, size, projected, w->target + 3 * k, w->weight + k);
        }
        __syncwarp();
    }
}

/* d (point) / d (joint), for a point that the joint moves. */
static __device__ void column(const Problem *p, const Work *w, int joint, int point, double *c) {
    if (p->prismatic[joint]) {
        for (int a = 0; a < 3; a++) c[a] = w->z[3 * joint + a];
    } else {
        double arm[3];
        for (int a = 0; a < 3; a++) arm[a] = w->point[3 * point + a] - w->origin[3 * joint + a];
        cross(w->z + 3 * joint, arm, c);
    }
}

static __device__ int moves(const Problem *p, int joint, int point) {
    const int carrier = p->point_joint[point];
    return carrier >= 0 && (p->above[carrier] >> joint & 1);
}

/* Cost, gradient and exact Hessian at m->x; `pull` holds every variable at w->centre. */
static __device__ __noinline__ void evaluate(const Problem *p, Work *w, double pull, Model *m) {
    const int n = p->variables;
    __syncwarp();
    EACH(j, p->joints) { /* every joint in its parent's frame: placement, then its own turn */
        const double *P = p->placement + 12 * j, *u = p->axis + 3 * j;
        const int v = p->variable[j];
        const double q = p->offset[j] + (v >= 0 ? p->gain[j] * m->x[v] : 0);
        double *M = w->local + 9 * j;
        w->angle[j] = q;
        for (int r = 0; r < 3; r++) w->turned[3 * j + r] = dot(P + 3 * r, u);
        if (p->prismatic[j]) {
            for (int i = 0; i < 9; i++) M[i] = P[i];
        } else { /* about the axis in the joint's own frame */
            double T[9];
            turn(u, q, T);
            for (int r = 0; r < 3; r++)
                for (int c2 = 0; c2 < 3; c2++)
                    M[3 * r + c2] = P[3 * r] * T[c2] + P[3 * r + 1] * T[3 + c2] + P[3 * r + 2] * T[6 + c2];
        }
    }
    __syncwarp();
    for (int j = 0; j < p->joints; j++) { /* parents come first */
        const int parent = p->parent[j];
        const double *P = p->placement + 12 * j, *M = w->local + 9 * j;
        EACH(i, 9) {
            const int r = i / 3, c = i % 3;
            const double *Q = w->R + 9 * parent + 3 * r;
            w->R[9 * j + i] = parent < 0 ? M[i] : Q[0] * M[c] + Q[1] * M[3 + c] + Q[2] * M[6 + c];
            if (c == 0) {
                const double z = parent < 0 ? w->turned[3 * j + r] : dot(Q, w->turned + 3 * j);
                const double o = parent < 0 ? P[9 + r] : w->origin[3 * parent + r] + dot(Q, P + 9);
                w->z[3 * j + r] = z;
                w->origin[3 * j + r] = p->prismatic[j] ? o + w->angle[j] * z : o;
            }
        }
        __syncwarp();
    }
    EACH(i, p->points) {
        const int j = p->point_joint[i];
        const double *xyz = p->point_xyz + 3 * i;
        for (int r = 0; r < 3; r++) {
            w->point[3 * i + r] = j < 0 ? xyz[r] : w->origin[3 * j + r] + dot(w->R + 9 * j + 3 * r, xyz);
            w->force[3 * i + r] = 0;
        }
    }
    __syncwarp();
    EACH(k, p->tasks) {
        const double *first = w->point + 3 * p->task_ends[2 * k], *second = w->point + 3 * p->task_ends[2 * k + 1];
        double *r = w->residual + 4 * k;
        for (int c = 0; c < 3; c++) r[c] = second[c] - first[c] - w->target[3 * k + c];
        const double d = sqrt(dot(r, r));
        const int quadratic = d < p->huber;
        w->slope[k] = w->weight[k] / (quadratic ? p->huber : d);
        w->parts[k] = w->weight[k] * (quadratic ? 0.5 * d * d / p->huber : d - 0.5 * p->huber);
        r[3] = quadratic ? 0 : 1 / d;
    }
    __syncwarp();
    EACH(i, p->points) /* what the tasks pull at each point with */
        for (int k = 0; k < p->tasks; k++)
            for (int end = 0; end < 2; end++)
                if (p->task_ends[2 * k + end] == i)
                    for (int c = 0; c < 3; c++)
                        w->force[3 * i + c] += (end ? 1 : -1) * w->slope[k] * w->residual[4 * k + c];
    EACH(i, p->tasks * n) {
        const int k = i / n, v = i % n;
        double sum[3] = {0, 0, 0}, c[3];
        for (int at = p->driven_from[v]; at < p->driven_from[v + 1]; at++) {
            const int j = p->driven[at];
            for (int end = 0; end < 2; end++) {
                const int point = p->task_ends[2 * k + end];
                if (!moves(p, j, point)) continue;
                column(p, w, j, point, c);
                for (int a = 0; a < 3; a++) sum[a] += (end ? 1 : -1) * p->gain[j] * c[a];
            }
        }
        for (int a = 0; a < 3; a++) w->J[3 * i + a] = sum[a];
        w->along[i] = dot(sum, w->residual + 4 * k) * w->residual[4 * k + 3];
    }
    __syncwarp();
    EACH(j, p->joints) { /* T_j */
        double sum[3] = {0, 0, 0}, c[3], t[3];
        for (int i = 0; i < p->points && p->variable[j] >= 0; i++) {
            if (!moves(p, j, i)) continue;
            column(p, w, j, i, c);
            cross(c, w->force + 3 * i, t);
            for (int a = 0; a < 3; a++) sum[a] += t[a];
        }
        for (int a = 0; a < 3; a++) w->torque[3 * j + a] = sum[a];
    }
    __syncwarp();
    EACH(entry, n * n) {
        const int a = entry / n, b = entry % n;
        if (b > a) continue;
        double h = a == b ? 2 * pull : 0;
        for (int k = 0; k < p->tasks; k++)
            h += w->slope[k] * (dot(w->J + 3 * (k * n + a), w->J + 3 * (k * n + b)) -
                                w->along[k * n + a] * w->along[k * n + b]);
        /* d2p / dqi dqj = zi x (dp / dqj) for i at or above j */
        for (int s = p->driven_from[a]; s < p->driven_from[a + 1]; s++)
            for (int t = p->driven_from[b]; t < p->driven_from[b + 1]; t++) {
                const int one = p->driven[s], two = p->driven[t];
                const int upper = p->above[two] >> one & 1 ? one : two, lower = upper == one ? two : one;
                if (!(p->above[lower] >> upper & 1) || p->prismatic[upper]) continue;
                h += p->gain[one] * p->gain[two] * dot(w->z + 3 * upper, w->torque + 3 * lower);
            }
        m->hessian[entry] = h;
    }
    EACH(v, n) {
        double g = 2 * pull * (m->x[v] - w->centre[v]);
        for (int k = 0; k < p->tasks; k++) g += w->slope[k] * dot(w->J + 3 * (k * n + v), w->residual + 4 * k);
        m->gradient[v] = g;
    }
    FIRST {
        double cost = 0;
        for (int v = 0; v < n; v++) cost += pull * (m->x[v] - w->centre[v]) * (m->x[v] - w->centre[v]);
        for (int k = 0; k < p->tasks; k++) cost += w->parts[k];
        *m->cost = cost;
    }
    __syncwarp();
}

/* Solves (H + damping I) s = -g over the variables that are not held, whose steps are given; 0 if not definite. */
static __device__ __noinline__ int newton_step(const Problem *p, Work *w, const Model *m, double damping) {
    const int n = p->variables;
    int count = 0;
    for (int i = 0; i < n; i++)
        if (!w->held[i]) count++;
    FIRST {
        int at = 0;
        for (int i = 0; i < n; i++)
            if (!w->held[i]) w->index[at++] = i;
    }
    __syncwarp();
    EACH(i, count) {
        const int a = w->index[i];
        double b = -m->gradient[a];
        for (int j = 0; j < n; j++)
            if (w->held[j] && w->step[j] != 0) b -= (a >= j ? m->hessian[a * n + j] : m->hessian[j * n + a]) * w->step[j];
        w->b[i] = b;
        for (int j = 0; j <= i; j++) w->L[i * n + j] = m->hessian[a * n + w->index[j]] + (i == j ? damping : 0);
    }
    __syncwarp();
    for (int j = 0; j < count; j++) { /* column j of the factor, and the forward substitution beside it */
        double d = w->L[j * n + j];
        for (int k = 0; k < j; k++) d -= w->L[j * n + k] * w->L[j * n + k];
        if (!(d > 1e-9)) return 0; /* the same for all lanes: they read the same numbers */
        const double root = sqrt(d);
        const double y = w->b[j] / root;
        __syncwarp();
        EACH(i, count) {
            if (i < j) continue;
            double s = w->L[i * n + j];
            for (int k = 0; k < j && i > j; k++) s -= w->L[i * n + k] * w->L[j * n + k];
            if (i > j) {
                w->L[i * n + j] = s / root;
                w->b[i] -= s / root * y;
            }
        }
        __syncwarp();
        FIRST w->L[j * n + j] = root, w->b[j] = y;
        __syncwarp();
    }
    for (int j = count - 1; j >= 0; j--) {
        const double s = w->b[j] / w->L[j * n + j];
        __syncwarp();
        EACH(i, j) w->b[i] -= w->L[j * n + i] * s;
        FIRST w->step[w->index[j]] = s;
        __syncwarp();
    }
    return 1;
}

/* Minimises over lower <= x <= upper from w->now.x, in place; *w->now.cost is the minimum. Returns the number of
 * evaluations. rival: the best minimum known (w->best, of cost `rival_cost`): a search that cannot end below it ends
 * where it is. */
static __device__ __noinline__ int minimise(const Problem *p, Work *w, double pull, int rival, double rival_cost) {
    const int n = p->variables;
    double damping = 0, unit = 0;
    int evaluations = 1;

    EACH(i, n) w->now.x[i] = clip(w->now.x[i], p->lower[i], p->upper[i]);
    evaluate(p, w, pull, &w->now);
    for (int i = 0; i < n; i++) unit += fabs(w->now.hessian[i * n + i]);
    unit = unit > 0 ? 1e-3 * unit / n : 1e-6;

    while (evaluations < p->max_iterations) {
        const Model *now = &w->now;
        double slope = 0, largest = 0;
        __syncwarp();
        for (int i = 0; i < n; i++) {
            const double g = now->gradient[i], x = now->x[i];
            const int held = (x <= p->lower[i] && g >= 0) || (x >= p->upper[i] && g <= 0);
            if (!held && fabs(g) > slope) slope = fabs(g);
        }
        if (slope <= p->tolerance) break;
        EACH(i, n) {
            const double g = now->gradient[i], x = now->x[i];
            w->held[i] = (x <= p->lower[i] && g >= 0) || (x >= p->upper[i] && g <= 0);
            w->step[i] = 0;
        }
        __syncwarp();

        /* The damped model within the box: a variable whose step leaves it is held at the border, and so on. */
        int solved = 0;
        for (int round = 0; round <= n; round++) {
            int left = 0;
            solved = newton_step(p, w, now, damping);
            if (!solved) break;
            for (int i = 0; i < n; i++) {
                const double to = now->x[i] + w->step[i];
                if (!w->held[i] && (to < p->lower[i] || to > p->upper[i])) left = 1;
            }
            __syncwarp();
            EACH(i, n) {
                const double to = now->x[i] + w->step[i];
                if (!w->held[i] && (to < p->lower[i] || to > p->upper[i])) {
                    w->step[i] = (to < p->lower[i] ? p->lower[i] : p->upper[i]) - now->x[i];
                    w->held[i] = 1;
                }
            }
            __syncwarp();
            if (!left) break;
        }
        if (!solved) {
            damping = damping > 0 ? 4 * damping : unit;
            if (damping > 1e12 * unit) break;
            continue;
        }
        EACH(i, n) {
            w->next.x[i] = clip(now->x[i] + w->step[i], p->lower[i], p->upper[i]);
            w->step[i] = w->next.x[i] - now->x[i];
        }
        __syncwarp();
        for (int i = 0; i < n; i++) largest = fmax(largest, fabs(w->step[i]));
        evaluate(p, w, pull, &w->next);
        evaluations++;
        EACH(i, n) { /* the fall that the model promises, a row each */
            double h = 0.5 * now->hessian[i * n + i] * w->step[i];
            for (int j = 0; j < i; j++) h += now->hessian[i * n + j] * w->step[j];
            w->rows[i] = w->step[i] * (now->gradient[i] + h);
        }
        __syncwarp();
        double promise = 0;
        for (int i = 0; i < n; i++) promise -= w->rows[i];
        const double fall = *w->now.cost - *w->next.cost;
        __syncwarp();
        if (fall > 1e-4 * promise || (fall >= -1e-13 && largest < 1e-5)) {
            const Model swap = w->now; /* every lane has its own Work: the pointers change place in all of them */
            w->now = w->next;
            w->next = swap;
            if (largest < 1e-9) break;
            if (rival) {
                double apart = 0;
                for (int i = 0; i < n; i++) apart = fmax(apart, fabs(w->now.x[i] - w->best[i]));
                if (apart < SAME || (damping == 0 && largest < CLOSING && *w->now.cost - 10 * fall > rival_cost)) break;
            }
            if (fall > 0.75 * promise) damping = damping > unit ? 0.125 * damping : 0;
            else if (fall < 0.25 * promise) damping = damping > 0 ? 2 * damping : unit;
        } else {
            if (largest < 1e-9) break;
            damping = damping > 0 ? 4 * damping : unit;
        }
    }
    __syncwarp();
    return evaluations;
}

/* keypoints: [B, 21, 3] m, camera axes (is_local: in the wrist frame). mirror: [B] the keypoints are of the other hand.
 * smoothing: [B] weight of |x - last x|^2. Block b solves hand b. */
extern "C" __global__ void humanrt_retarget(const Problem *robot, const float *keypoints, const int32_t *mirror,
                                            const double *smoothing, int32_t is_local) {
#ifdef HUMANRT_ON_CPU
    double *shared = humanrt_shared();
#else
    extern __shared__ double shared[];
#endif
    const Problem *p = robot;
    const int hand = (int)blockIdx.x, n = p->variables;
    Work work, *w = &work;
    lay_out(p, shared, w);

    int finite = 1;
    for (int i = 0; i < 3 * KEYPOINTS; i++)
        if (!isfinite(keypoints[3 * KEYPOINTS * hand + i])) finite = 0;
    if (!finite) {
        FIRST p->evaluations[hand] = -1;
        return;
    }
    EACH(i, 3 * KEYPOINTS) {
        const double value = keypoints[3 * KEYPOINTS * hand + i];
        w->keypoints[i] = mirror[hand] && i % 3 == (is_local ? 1 : 0) ? -value : value;
    }
    __syncwarp();
    set_targets(p, w, hand, is_local);

    double *x = p->x + hand * n;
    const double both = smoothing[hand] + p->rest_weight;
    EACH(i, n) {
        w->centre[i] = both > 0 ? (smoothing[hand] * x[i] + p->rest_weight * p->rest[i]) / both : p->rest[i];
        w->now.x[i] = x[i];
    }
    __syncwarp();
    int evaluations = minimise(p, w, both, 0, 0);
    double cost = *w->now.cost;
    EACH(i, n) w->best[i] = w->now.x[i];
    __syncwarp();
    for (int s = 0; s < p->starts; s++) {
        EACH(i, n) w->now.x[i] = p->start[s * n + i];
        __syncwarp();
        evaluations += minimise(p, w, both, 1, cost);
        if (*w->now.cost < cost * (1 - 1e-6)) {
            cost = *w->now.cost;
            EACH(i, n) w->best[i] = w->now.x[i];
        }
        __syncwarp();
    }
    EACH(i, n) x[i] = w->best[i];
    EACH(j, p->joints) {
        const double q = p->offset[j] + (p->variable[j] >= 0 ? p->gain[j] * w->best[p->variable[j]] : 0);
        p->q[hand * p->dof + p->order[j]] = clip(q, p->joint_limits[2 * j], p->joint_limits[2 * j + 1]);
    }
    FIRST {
        p->cost[hand] = cost;
        p->evaluations[hand] = evaluations;
    }
}
