/* Retargeting kernel: wrist frame -> targets -> joint angles, for one hand, in double precision.
 *
 * C99 and nothing but math.h; generic over hands, because everything about the hand and the objective comes in
 * the flat arrays of `Problem`. The numpy module humanrt/retarget/reference.py is the same algorithm, and the
 * test suite holds the two together to 1e-9 rad: change both or neither.
 *
 * Frames: keypoints in camera axes; the wrist frame has x out of the palm, z towards the fingers, y = z x x;
 * robot vectors are in the robot's base frame. Metres, radians.
 */
#include <math.h>
#include <stdint.h>

#include "export.h"

enum { MAX_JOINTS = 64, MAX_VARIABLES = 64, MAX_POINTS = 64, MAX_TASKS = 64, KEYPOINTS = 21, PALM = 6 };
enum { VECTOR = 0, DIRECTION = 1, DEXPILOT_THUMB = 2, DEXPILOT_FINGERS = 3, PINCH = 4, GRIP = 5 };

typedef struct {
    int32_t joints, variables, points, tasks, max_iterations, starts;
    double huber, project, escape, rest_weight, tolerance;
    const int32_t *parent;      /* [J] index of the parent joint, -1 for the base; parents come first */
    const int32_t *prismatic;   /* [J] 0 or 1 */
    const int32_t *variable;    /* [J] index of the variable that moves the joint, -1 when it is locked */
    const int32_t *order;       /* [J] index of the joint in q */
    const double *placement;    /* [J, 12] rotation (row major), translation: joint frame in its parent's at q = 0 */
    const double *axis;         /* [J, 3] */
    const double *gain;         /* [J] joint = gain * variable + offset */
    const double *offset;       /* [J] */
    const double *joint_limits; /* [J, 2] */
    const int32_t *point_joint; /* [P] */
    const double *point_xyz;    /* [P, 3] in the frame of the joint */
    const int32_t *task_ends;   /* [K, 2] the robot vector goes from the first point to the second */
    const int32_t *task_human;  /* [K, 2] the human vector, likewise, in MediaPipe's numbering */
    const int32_t *task_kind;   /* [K] */
    const int32_t *task_pairs;  /* [K, 2] DEXPILOT_FINGERS: its two thumb tasks; DIRECTION: ends of a second vector */
    const double *task_scale;   /* [K] factor; DIRECTION: length of the robot's segment in metres */
    const double *task_weight;  /* [K] */
    const double *task_close;   /* [K, 2] when the tips touch: weight, target's length; DIRECTION: share of the second;
                                 * GRIP: weight, distance of the human's tips at which the gripper is open */
    const double *task_grip;    /* [K, 2, 3] GRIP: the robot vector when closed, when open */
    const double *lower, *upper, *rest; /* [N] */
    const double *palm_template; /* [6, 3] */
    const double *palm_weight;   /* [6] */
    const double *base_rotation; /* [9] wrist frame -> robot's base frame */
    const double *start;         /* [starts, N] where the search starts again, besides the last solution */
    double *frame;               /* [9] state: the last wrist frame, columns are its axes in camera axes */
    int32_t *has_frame;          /* [1] state: 0 until the first frame */
    int32_t *projected;          /* [K] state: DexPilot's hysteresis */
    double *target;              /* [K, 3] out: what the robot vectors should be */
    double *weight;              /* [K] out */
    double *x;                   /* [N] state: last solution in, next out */
    double *q;                   /* [dof] out: the same as joint angles */
    double *cost;                /* [1] out */
} Problem;

static const int PALM_POINTS[PALM] = {0, 1, 5, 9, 13, 17};

static void cross(const double *a, const double *b, double *c) {
    c[0] = a[1] * b[2] - a[2] * b[1];
    c[1] = a[2] * b[0] - a[0] * b[2];
    c[2] = a[0] * b[1] - a[1] * b[0];
}

static double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/* Largest two eigenvalues, and the vector of the largest, of a symmetric 4x4 matrix, by cyclic Jacobi. */
static void eigen4(double A[4][4], double *values, double *vector) {
    double V[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    for (int sweep = 0; sweep < 30; sweep++) {
        double off = 0, diagonal = 0;
        for (int i = 0; i < 4; i++) {
            diagonal += A[i][i] * A[i][i];
            for (int j = i + 1; j < 4; j++) off += A[i][j] * A[i][j];
        }
        if (off <= 1e-32 * diagonal || off == 0) break;
        for (int p = 0; p < 3; p++)
            for (int q = p + 1; q < 4; q++) {
                if (A[p][q] == 0) continue;
                double theta = (A[q][q] - A[p][p]) / (2 * A[p][q]);
                double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
                double c = 1 / sqrt(t * t + 1), s = t * c;
                for (int k = 0; k < 4; k++) {
                    double a = A[k][p], b = A[k][q];
                    A[k][p] = c * a - s * b;
                    A[k][q] = s * a + c * b;
                }
                for (int k = 0; k < 4; k++) {
                    double a = A[p][k], b = A[q][k];
                    A[p][k] = c * a - s * b;
                    A[q][k] = s * a + c * b;
                    a = V[k][p], b = V[k][q];
                    V[k][p] = c * a - s * b;
                    V[k][q] = s * a + c * b;
                }
            }
    }
    int best = 0;
    for (int i = 1; i < 4; i++)
        if (A[i][i] > A[best][best]) best = i;
    values[0] = A[best][best];
    values[1] = -INFINITY;
    for (int i = 0; i < 4; i++)
        if (i != best && A[i][i] > values[1]) values[1] = A[i][i];
    for (int k = 0; k < 4; k++) vector[k] = V[k][best];
}

/* Rotation R that maximises tr(R^T B) (Wahba's problem), by Horn's quaternion matrix. */
static void wahba(const double B[3][3], double *values, double *R) {
    double trace = B[0][0] + B[1][1] + B[2][2], q[4];
    double K[4][4];
    K[0][0] = trace;
    K[0][1] = K[1][0] = B[2][1] - B[1][2];
    K[0][2] = K[2][0] = B[0][2] - B[2][0];
    K[0][3] = K[3][0] = B[1][0] - B[0][1];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) K[i + 1][j + 1] = B[i][j] + B[j][i] - (i == j ? trace : 0);
    eigen4(K, values, q);
    double w = q[0], x = q[1], y = q[2], z = q[3];
    double n = 2 / (w * w + x * x + y * y + z * z);
    R[0] = 1 - n * (y * y + z * z), R[1] = n * (x * y - w * z), R[2] = n * (x * z + w * y);
    R[3] = n * (x * y + w * z), R[4] = 1 - n * (x * x + z * z), R[5] = n * (y * z - w * x);
    R[6] = n * (x * z - w * y), R[7] = n * (y * z + w * x), R[8] = 1 - n * (x * x + y * y);
}

/* Wrist frame from the palm's keypoints; returns the size of the palm against the template's. */
static double wrist_frame(Problem *p, const double *keypoints) {
    double centre[3] = {0}, middle[3] = {0}, total = 0, spread = 0, B[3][3] = {{0}}, values[2], R[9];
    for (int i = 0; i < PALM; i++) {
        double w = p->palm_weight[i];
        total += w;
        for (int c = 0; c < 3; c++) {
            centre[c] += w * keypoints[3 * PALM_POINTS[i] + c];
            middle[c] += w * p->palm_template[3 * i + c];
        }
    }
    for (int c = 0; c < 3; c++) centre[c] /= total, middle[c] /= total;
    for (int i = 0; i < PALM; i++) {
        double w = p->palm_weight[i];
        for (int a = 0; a < 3; a++) {
            double t = p->palm_template[3 * i + a] - middle[a];
            spread += w * t * t;
            for (int b = 0; b < 3; b++)
                B[b][a] += w * (keypoints[3 * PALM_POINTS[i] + b] - centre[b]) * t;
        }
    }
    wahba(B, values, R);
    double fit = values[0] / spread;
    double health = values[0] > 1e-12 ? (values[0] - values[1]) / values[0] : 0;
    if (*p->has_frame && health < 0.1) {
        /* The points hardly say how the palm is turned: lean on the last frame, the more the less they say. */
        double lean = 1 - health / 0.1;
        double pull = lean * lean * (values[0] > 1e-12 ? values[0] : 1);
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) B[i][j] += pull * p->frame[3 * i + j];
        wahba(B, values, R);
    }
    for (int i = 0; i < 9; i++) p->frame[i] = R[i];
    *p->has_frame = 1;
    return fit > 0.2 ? fit : 0.2;
}

/* Human vectors (already in the robot's base frame) -> target and weight of every task. */
static void set_targets(Problem *p, const double *local, double size) {
    for (int k = 0; k < p->tasks; k++) {
        double v[3], length, factor = p->task_scale[k];
        const double *a = local + 3 * p->task_human[2 * k], *b = local + 3 * p->task_human[2 * k + 1];
        for (int c = 0; c < 3; c++) v[c] = b[c] - a[c];
        length = sqrt(dot(v, v));
        p->weight[k] = p->task_weight[k];
        switch (p->task_kind[k]) {
        case DIRECTION: {
            /* Mixed with the direction of a second human vector, then back to unit length. */
            const double *a2 = local + 3 * p->task_pairs[2 * k], *b2 = local + 3 * p->task_pairs[2 * k + 1];
            double u[3] = {b2[0] - a2[0], b2[1] - a2[1], b2[2] - a2[2]};
            const double mix = p->task_close[2 * k] / (sqrt(dot(u, u)) + 1e-6);
            for (int c = 0; c < 3; c++) v[c] = v[c] / (length + 1e-6) + mix * u[c];
            factor /= sqrt(dot(v, v)) + 1e-6;
            break;
        }
        case DEXPILOT_THUMB:
        case DEXPILOT_FINGERS:
            if (p->task_kind[k] == DEXPILOT_THUMB) {
                if (length < p->project) p->projected[k] = 1;
                if (length > p->escape) p->projected[k] = 0;
            } else {
                p->projected[k] = p->projected[p->task_pairs[2 * k]] && p->projected[p->task_pairs[2 * k + 1]] &&
                                  length <= 0.03;
            }
            if (p->projected[k]) {
                p->weight[k] = p->task_close[2 * k];
                factor = p->task_close[2 * k + 1] / (length + 1e-6);
            }
            break;
        case PINCH: {
            /* The same idea without memory: a smooth step between the two distances. */
            double u = (p->escape - length / size) / (p->escape - p->project);
            u = u < 0 ? 0 : u > 1 ? 1 : u;
            u = u * u * (3 - 2 * u);
            p->weight[k] += u * (p->task_close[2 * k] - p->weight[k]);
            factor = factor * (1 - u) / size + u * p->task_close[2 * k + 1] / (length + 1e-6);
            break;
        }
        case GRIP: {
            const double *shut = p->task_grip + 6 * k, *wide = shut + 3;
            double u = (length / size - p->project) / (p->task_close[2 * k + 1] - p->project);
            u = u < 0 ? 0 : u > 1 ? 1 : u;
            for (int c = 0; c < 3; c++) v[c] = shut[c] + u * (wide[c] - shut[c]);
            p->weight[k] += (1 - u) * (p->task_close[2 * k] - p->weight[k]);
            factor = 1;
            break;
        }
        default:
            break;
        }
        for (int c = 0; c < 3; c++) p->target[3 * k + c] = factor * v[c];
    }
}

typedef struct {
    double cost, gradient[MAX_VARIABLES], hessian[MAX_VARIABLES][MAX_VARIABLES];
} Model;

/* Cost, gradient and exact Hessian at x. */
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
        } else { /* Rodrigues' formula about the axis in the joint's own frame */
            double s = sin(q), c = cos(q), d = 1 - c;
            double M[9] = {c + d * u[0] * u[0],        d * u[0] * u[1] - s * u[2], d * u[0] * u[2] + s * u[1],
                           d * u[0] * u[1] + s * u[2], c + d * u[1] * u[1],        d * u[1] * u[2] - s * u[0],
                           d * u[0] * u[2] - s * u[1], d * u[1] * u[2] + s * u[0], c + d * u[2] * u[2]};
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

/* A search that comes so near (rad) to the best minimum known is about to find it again. */
static const double SAME = 1e-2;
/* Steps below this (rad) are Newton's last ones: each lowers the cost by far less than the one before. */
static const double CLOSING = 2e-2;

/* Minimises over lower <= x <= upper from x, in place. Returns the number of evaluations; *cost is the minimum.
 * rival: the best minimum known, of cost `rival_cost`, or NULL: a search that cannot end below it ends where it is. */
static int minimise(const Problem *p, const double *pull, const double *rest, double *x, double *cost,
                    const double *rival, double rival_cost) {
    const int n = p->variables;
    Model models[2], *now = &models[0], *next = &models[1];
    double step[MAX_VARIABLES], trial[MAX_VARIABLES], damping = 0, unit = 0;
    int8_t held[MAX_VARIABLES];
    int evaluations = 1;

    for (int i = 0; i < n; i++) x[i] = x[i] < p->lower[i] ? p->lower[i] : x[i] > p->upper[i] ? p->upper[i] : x[i];
    evaluate(p, x, pull, rest, now);
    for (int i = 0; i < n; i++) unit += fabs(now->hessian[i][i]);
    unit = unit > 0 ? 1e-3 * unit / n : 1e-6;

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
            trial[i] = x[i] + step[i];
            trial[i] = trial[i] < p->lower[i] ? p->lower[i] : trial[i] > p->upper[i] ? p->upper[i] : trial[i];
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
        size = wrist_frame(p, points);
        for (int r = 0; r < 3; r++) /* base <- wrist <- camera */
            for (int c = 0; c < 3; c++) {
                M[3 * r + c] = 0;
                for (int a = 0; a < 3; a++) M[3 * r + c] += p->base_rotation[3 * r + a] * p->frame[3 * c + a];
            }
    }
    for (int i = 0; i < KEYPOINTS; i++)
        for (int r = 0; r < 3; r++) local[3 * i + r] = dot(M + 3 * r, points + 3 * i);
    set_targets(p, local, size);
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
        const double low = p->joint_limits[2 * j], high = p->joint_limits[2 * j + 1];
        const double q = p->offset[j] + (p->variable[j] >= 0 ? p->gain[j] * p->x[p->variable[j]] : 0);
        p->q[p->order[j]] = q < low ? low : q > high ? high : q;
    }
    return evaluations;
}
