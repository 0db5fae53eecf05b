/* Fitting a body to points: the most probable pose, position and shape of a tree of ball joints and hinges, given its
 * points in one or more pictures, in metres, and where they should be by their motion so far; for one person, in double
 * precision.
 *
 * Variables, in this order: a small rotation of the root (3, world axes), the pivot's position (3, m), rotation vectors
 * of the joints (V, rad, within limits), shape (S, within limits). The mathematics, and the same in numpy:
 * humanrt/fitting/reference.py; the tests hold the two together: change both or neither. Layout: fitting/layout.py.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "export.h"

enum { MAX_LINKS = 128, MAX_VARIABLES = 160, MAX_POINTS = 192, MAX_SHAPE = 16 }; /* fitting/problem.py checks them */

/* L links, parents first, link 0 the root; V variables of joints, S of shape, N = 6 + V + S in all, P points, C views. */
typedef struct {
    int32_t links, variables, shapes, points, views, max_iterations;
    double tolerance;        /* rad and m: the search ends when no variable moves further */
    const int32_t *parent;   /* [L] */
    const int32_t *first;    /* [L] the link's first variable */
    const int32_t *count;    /* [L] number of its variables, 0 to 3 */
    const double *axes;      /* [L, 3, 3] row k: rotation vector per unit of variable k, in the link's frame */
    const double *before;    /* [L, 9] rotation of the link when its variables are 0 */
    const double *offset;    /* [L, 3] m, origin in the parent's frame; of link 0: the pivot in the root's own frame */
    const double *offset_by; /* [L, 3, S] its derivative by the shape */
    const int32_t *point_link; /* [P] */
    const double *point;       /* [P, 3] m, in the link's frame */
    const double *point_by;    /* [P, 3, S] */
    const double *lower, *upper;             /* [V] */
    const double *shape_lower, *shape_upper; /* [S] */
    const double *camera;      /* [C, 17] fx, s, cx, fy, cy; R (9), t (3): camera = R world + t */
    const double *seen;        /* [C, P, 2] px */
    const double *seen_weight; /* [C, P] 1/px^2, 0: not seen */
    const double *seen_width;  /* [C, P] px: half of the most that a point can cost is reached there */
    const double *metric;        /* [M, P, 3] m, relative to the pivot, world axes; M = C */
    const double *metric_weight; /* [M, P] 1/m^2 */
    const double *metric_width;  /* [M, P] m */
    const double *moved;        /* [P, 3] m, relative to the pivot: where motion so far takes the points */
    const double *moved_weight; /* [P, 3] 1/m^2, by axis of the world */
    const double *placed;       /* [3] m: the same of the pivot */
    const double *placed_weight; /* [3] */
    const double *turned;       /* [9] the same of the root's rotation */
    const double *turned_weight; /* [1] 1/rad^2 */
    const double *prior, *prior_weight; /* [V] */
    const double *shape_prior;          /* [S] */
    const double *shape_information;    /* [S, S] */
    double *rotation, *position, *x, *shape; /* [9], [3], [V], [S] state: the start in, the solution out */
    double *cost;                            /* [1] out */
    double *world, *origin, *place;          /* [L, 9], [L, 3], [P, 3] out: the solution's links and points */
    double *moved_variance, *placed_variance, *x_variance; /* [P, 3] relative to the pivot, [3], [V] out, by spread */
    double *moved_believed, *placed_believed; /* [P, 3], [3] the same without what was seen */
    double *shape_known;                                   /* [S, S] out, by spread: information about the shape */
    double *work; /* [3 N N] */
} Fit;

typedef struct {
    double rotation[9], position[3], x[MAX_VARIABLES], shape[MAX_SHAPE];
} State;

typedef struct {
    double cost, gradient[MAX_VARIABLES];
    double *hessian; /* [N, N], lower triangle */
} Model;

/* Four partial sums: without them each product waits for the one before. */
static double inner(const double *a, const double *b, int count) {
    double s[4] = {0, 0, 0, 0};
    int k = 0;
    for (; k + 4 <= count; k += 4)
        for (int c = 0; c < 4; c++) s[c] += a[k + c] * b[k + c];
    for (; k < count; k++) s[0] += a[k] * b[k];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

static double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void cross(const double *a, const double *b, double *c) {
    c[0] = a[1] * b[2] - a[2] * b[1];
    c[1] = a[2] * b[0] - a[0] * b[2];
    c[2] = a[0] * b[1] - a[1] * b[0];
}

static void apply(const double *M, const double *v, double *out) {
    for (int r = 0; r < 3; r++) out[r] = dot(M + 3 * r, v);
}

static void multiply(const double *A, const double *B, double *out) {
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 3; c++) out[3 * r + c] = A[3 * r] * B[c] + A[3 * r + 1] * B[3 + c] + A[3 * r + 2] * B[6 + c];
}

/* I + a [w] + b [w]^2 */
static void series(const double *w, double a, double b, double *M) {
    const double xx = w[0] * w[0], yy = w[1] * w[1], zz = w[2] * w[2];
    const double xy = b * w[0] * w[1], xz = b * w[0] * w[2], yz = b * w[1] * w[2];
    M[0] = 1 - b * (yy + zz), M[1] = xy - a * w[2], M[2] = xz + a * w[1];
    M[3] = xy + a * w[2], M[4] = 1 - b * (xx + zz), M[5] = yz - a * w[0];
    M[6] = xz - a * w[1], M[7] = yz + a * w[0], M[8] = 1 - b * (xx + yy);
}

/* Rotation of a vector (rad), and its left Jacobian: exp(w + d) = exp(jacobian d) exp(w) to first order. */
static void exponential(const double *w, double *rotation, double *jacobian) {
    const double square = dot(w, w), angle = sqrt(square);
    double a, b, c; /* sin x / x, (1 - cos x) / x^2, (x - sin x) / x^3 */
    if (angle < 1e-4) {
        a = 1 - square / 6, b = 0.5 - square / 24, c = 1.0 / 6 - square / 120;
    } else {
        const double s = sin(angle);
        a = s / angle, b = (1 - cos(angle)) / square, c = (angle - s) / (square * angle);
    }
    series(w, a, b, rotation);
    if (jacobian) series(w, b, c, jacobian);
}

/* Rotation vector (rad, to pi) of a rotation. */
static void logarithm(const double *R, double *w) {
    const double v[3] = {R[7] - R[5], R[2] - R[6], R[3] - R[1]};
    const double sine = 0.5 * sqrt(dot(v, v)), cosine = 0.5 * (R[0] + R[4] + R[8] - 1);
    const double angle = atan2(sine, cosine);
    if (sine > 1e-6) {
        for (int k = 0; k < 3; k++) w[k] = 0.5 * v[k] * angle / sine;
    } else if (cosine > 0) {
        for (int k = 0; k < 3; k++) w[k] = 0.5 * v[k];
    } else { /* half a turn: from the largest diagonal entry */
        int i = R[4] > R[0] ? 1 : 0;
        if (R[8] > R[4 * i]) i = 2;
        double axis[3], length;
        for (int k = 0; k < 3; k++) axis[k] = 0.5 * (R[3 * i + k] + R[3 * k + i]) + (k == i ? 1 : 0);
        length = sqrt(dot(axis, axis));
        for (int k = 0; k < 3; k++) w[k] = axis[k] * angle / length;
    }
}

typedef struct {
    double world[MAX_LINKS][9], origin[MAX_LINKS][3], axis[MAX_LINKS][3][3], by[MAX_LINKS][3][MAX_SHAPE];
} Pose;

/* Links in the world; axis: what a unit of each variable turns them by; by: how origins move with the shape. */
static void pose_of(const Fit *p, const State *s, Pose *pose) {
    const int shapes = p->shapes;
    for (int l = 0; l < p->links; l++) {
        const double *by = p->offset_by + 3 * shapes * l;
        double offset[3];
        for (int r = 0; r < 3; r++) {
            offset[r] = p->offset[3 * l + r];
            for (int k = 0; k < shapes; k++) offset[r] += by[r * shapes + k] * s->shape[k];
        }
        const double *parent = l ? pose->world[p->parent[l]] : s->rotation;
        const double *from = l ? pose->origin[p->parent[l]] : s->position;
        const double sign = l ? 1 : -1; /* the pivot is a point of the root: its origin lies the other way */
        for (int r = 0; r < 3; r++) {
            pose->origin[l][r] = from[r] + sign * dot(parent + 3 * r, offset);
            for (int k = 0; k < shapes; k++) {
                pose->by[l][r][k] = l ? pose->by[p->parent[l]][r][k] : 0;
                for (int c = 0; c < 3; c++) pose->by[l][r][k] += sign * parent[3 * r + c] * by[c * shapes + k];
            }
        }
        if (!l) {
            memcpy(pose->world[0], s->rotation, sizeof s->rotation);
            continue;
        }
        double neutral[9], w[3] = {0, 0, 0}, turn[9], jacobian[9];
        multiply(parent, p->before + 9 * l, neutral);
        for (int k = 0; k < p->count[l]; k++)
            for (int c = 0; c < 3; c++) w[c] += s->x[p->first[l] + k] * p->axes[9 * l + 3 * k + c];
        exponential(w, turn, jacobian);
        multiply(neutral, turn, pose->world[l]);
        for (int k = 0; k < p->count[l]; k++) {
            double a[3];
            apply(jacobian, p->axes + 9 * l + 3 * k, a);
            apply(neutral, a, pose->axis[l][k]);
        }
    }
}

static void point_of(const Fit *p, const State *s, const Pose *pose, int i, double *at) {
    const int l = p->point_link[i], shapes = p->shapes;
    double local[3];
    for (int r = 0; r < 3; r++) {
        local[r] = p->point[3 * i + r];
        for (int k = 0; k < shapes; k++) local[r] += p->point_by[(3 * i + r) * shapes + k] * s->shape[k];
    }
    for (int r = 0; r < 3; r++) at[r] = pose->origin[l][r] + dot(pose->world[l] + 3 * r, local);
}

/* Geman-McClure: cost of a squared residual, at most weight * width^2; returns the weight of its square nearby. */
static double robust(double square, double weight, double width, double *cost) {
    const double ww = width * width, share = ww / (ww + square);
    *cost += weight * square * share;
    return weight * share * share;
}

/* Residuals of one point: cost, and the gradient and information [3] [3, 3] of the residuals in place (`absolute`) and
 * relative to the pivot (`relative`). */
static void measure(const Fit *p, const State *s, int i, const double *at, int seen, double *cost, double *ga,
                    double *Ga, double *gr, double *Gr) {
    const int n = p->points;
    double rest[3];
    memset(ga, 0, 3 * sizeof *ga), memset(gr, 0, 3 * sizeof *gr);
    memset(Ga, 0, 9 * sizeof *Ga), memset(Gr, 0, 9 * sizeof *Gr);
    for (int v = 0; v < (seen ? p->views : 0); v++) {
        double weight = p->seen_weight[v * n + i];
        const double width = p->seen_width[v * n + i];
        if (weight > 0) {
            const double *c = p->camera + 17 * v, *R = c + 5, *t = c + 14;
            double in[3], A[2][3], r[2];
            for (int k = 0; k < 3; k++) in[k] = dot(R + 3 * k, at) + t[k];
            if (in[2] < 0.05) { /* at or behind the camera: as wrong as can be */
                *cost += weight * width * width;
            } else {
                const double x = in[0] / in[2], y = in[1] / in[2], z = 1 / in[2];
                r[0] = c[0] * x + c[1] * y + c[2] - p->seen[2 * (v * n + i)];
                r[1] = c[3] * y + c[4] - p->seen[2 * (v * n + i) + 1];
                for (int k = 0; k < 3; k++) {
                    A[0][k] = z * (c[0] * (R[k] - x * R[6 + k]) + c[1] * (R[3 + k] - y * R[6 + k]));
                    A[1][k] = z * c[3] * (R[3 + k] - y * R[6 + k]);
                }
                weight = robust(r[0] * r[0] + r[1] * r[1], weight, width, cost);
                for (int a = 0; a < 3; a++) {
                    ga[a] += weight * (A[0][a] * r[0] + A[1][a] * r[1]);
                    for (int b = 0; b < 3; b++) Ga[3 * a + b] += weight * (A[0][a] * A[0][b] + A[1][a] * A[1][b]);
                }
            }
        }
        if (p->metric_weight[v * n + i] > 0) {
            const double *want = p->metric + 3 * (v * n + i);
            for (int k = 0; k < 3; k++) rest[k] = at[k] - s->position[k] - want[k];
            weight = robust(dot(rest, rest), p->metric_weight[v * n + i], p->metric_width[v * n + i], cost);
            for (int k = 0; k < 3; k++) gr[k] += weight * rest[k], Gr[4 * k] += weight;
        }
    }
    for (int k = 0; k < 3; k++) {
        const double weight = p->moved_weight[3 * i + k], r = at[k] - s->position[k] - p->moved[3 * i + k];
        *cost += weight * r * r;
        gr[k] += weight * r;
        Gr[4 * k] += weight;
    }
}

/* Derivatives of a point, [3] each, by the variables in `used` (all but the position's); returns their number. */
static int columns(const Fit *p, const State *s, const Pose *pose, int i, const double *at, double J[][3],
                   int *used) {
    const int shapes = p->shapes, rest = 6 + p->variables, link = p->point_link[i];
    int8_t there[MAX_VARIABLES];
    double arm[3];
    int count = 3;
    memset(there, 0, sizeof there);
    for (int k = 0; k < 3; k++) {
        const double e[3] = {k == 0, k == 1, k == 2};
        for (int c = 0; c < 3; c++) arm[c] = at[c] - s->position[c];
        cross(e, arm, J[k]);
        used[k] = k;
    }
    for (int l = link; l > 0; l = p->parent[l]) {
        for (int c = 0; c < 3; c++) arm[c] = at[c] - pose->origin[l][c];
        for (int k = 0; k < p->count[l]; k++) {
            const int v = 6 + p->first[l] + k;
            double c[3];
            cross(pose->axis[l][k], arm, c);
            if (!there[v]) {
                there[v] = 1;
                used[count++] = v;
                J[v][0] = J[v][1] = J[v][2] = 0;
            }
            for (int a = 0; a < 3; a++) J[v][a] += c[a];
        }
    }
    for (int k = 0; k < shapes; k++) {
        used[count++] = rest + k;
        for (int r = 0; r < 3; r++) {
            J[rest + k][r] = pose->by[link][r][k];
            for (int c = 0; c < 3; c++)
                J[rest + k][r] += pose->world[link][3 * r + c] * p->point_by[(3 * i + c) * shapes + k];
        }
    }
    return count;
}

/* The cost, half its gradient and half its Hessian of Gauss and Newton; without `seen`, of belief and motion alone. */
static void evaluate(const Fit *p, const State *s, Pose *pose, Model *m, int seen) {
    const int V = p->variables, shapes = p->shapes, N = 6 + V + shapes;
    double *H = m->hessian;
    pose_of(p, s, pose);
    memset(H, 0, (size_t)N * N * sizeof *H);
    memset(m->gradient, 0, sizeof m->gradient);
    m->cost = 0;

    for (int i = 0; i < p->points; i++) {
        double at[3], ga[3], Ga[9], gr[3], Gr[9], J[MAX_VARIABLES][3], both[9], g[3];
        int used[MAX_VARIABLES];
        point_of(p, s, pose, i, at);
        measure(p, s, i, at, seen, &m->cost, ga, Ga, gr, Gr);
        if (Ga[0] + Ga[4] + Ga[8] + Gr[0] + Gr[4] + Gr[8] <= 0) continue;
        const int count = columns(p, s, pose, i, at, J, used);
        for (int k = 0; k < 9; k++) both[k] = Ga[k] + Gr[k];
        for (int k = 0; k < 3; k++) {
            g[k] = ga[k] + gr[k];
            m->gradient[3 + k] += ga[k];
            for (int c = 0; c <= k; c++) H[(3 + k) * N + 3 + c] += Ga[3 * k + c];
        }
        for (int a = 0; a < count; a++) {
            const int u = used[a];
            double GJ[3], aJ[3];
            m->gradient[u] += dot(J[u], g);
            apply(both, J[u], GJ);
            for (int b = 0; b <= a; b++) {
                const int v = used[b];
                const double h = dot(J[v], GJ);
                if (u >= v) H[u * N + v] += h;
                else H[v * N + u] += h;
            }
            apply(Ga, J[u], aJ);
            for (int k = 0; k < 3; k++) {
                if (u >= 3 + k) H[u * N + 3 + k] += aJ[k];
                else H[(3 + k) * N + u] += aJ[k];
            }
        }
    }

    double turn[9], w[3];
    for (int r = 0; r < 3; r++) /* rotation turned^T */
        for (int c = 0; c < 3; c++) turn[3 * r + c] = dot(s->rotation + 3 * r, p->turned + 3 * c);
    logarithm(turn, w);
    for (int k = 0; k < 3; k++) {
        const double r = s->position[k] - p->placed[k], weight = p->placed_weight[k], turning = *p->turned_weight;
        m->cost += weight * r * r + turning * w[k] * w[k];
        m->gradient[3 + k] += weight * r;
        H[(3 + k) * N + 3 + k] += weight;
        m->gradient[k] += turning * w[k]; /* exact: the logarithm's Jacobian, transposed, leaves w as it is */
        H[k * N + k] += turning;
    }
    for (int k = 0; k < V; k++) {
        const double r = s->x[k] - p->prior[k], weight = p->prior_weight[k];
        m->cost += weight * r * r;
        m->gradient[6 + k] += weight * r;
        H[(6 + k) * N + 6 + k] += weight;
    }
    for (int k = 0; k < shapes; k++) {
        double pull = 0;
        for (int c = 0; c < shapes; c++) pull += p->shape_information[k * shapes + c] * (s->shape[c] - p->shape_prior[c]);
        m->cost += pull * (s->shape[k] - p->shape_prior[k]);
        m->gradient[6 + V + k] += pull;
        for (int c = 0; c <= k; c++) H[(6 + V + k) * N + 6 + V + c] += p->shape_information[k * shapes + c];
    }
}

/* Cholesky factor L [count, N] of the Hessian's rows `index`, damped; 0 if it is not definite. */
static int factorise(const double *H, int N, const int *index, int count, double damping, double *L) {
    for (int i = 0; i < count; i++) {
        double *row = L + i * N;
        for (int j = 0; j <= i; j++) {
            const double *other = L + j * N;
            const double s = H[index[i] * N + index[j]] + (i == j ? damping : 0) - inner(row, other, j);
            if (i == j) {
                if (!(s > 0)) return 0;
                row[i] = sqrt(s);
            } else {
                row[j] = s / other[j];
            }
        }
    }
    return 1;
}

/* Entry of the inverse of L L^T on its diagonal: |L^-1 e|^2. */
static double inverse_diagonal(const double *L, int N, int at) {
    double y[MAX_VARIABLES], square = 0;
    for (int i = at; i < N; i++) {
        y[i] = ((i == at ? 1 : 0) - inner(L + i * N + at, y + at, i - at)) / L[i * N + i];
        square += y[i] * y[i];
    }
    return square;
}

/* Solves (H + damping) step = -gradient over the variables that are not held; the held ones' steps are given. */
static int newton_step(const Model *m, int N, const int8_t *held, double damping, double *step, double *L) {
    int index[MAX_VARIABLES], count = 0;
    double y[MAX_VARIABLES];
    for (int i = 0; i < N; i++)
        if (!held[i]) index[count++] = i;
    if (!factorise(m->hessian, N, index, count, damping, L)) return 0;
    for (int i = 0; i < count; i++) {
        const int a = index[i];
        double b = -m->gradient[a];
        for (int j = 0; j < N; j++)
            if (held[j] && step[j] != 0) b -= (a >= j ? m->hessian[a * N + j] : m->hessian[j * N + a]) * step[j];
        y[i] = (b - inner(L + i * N, y, i)) / L[i * N + i];
    }
    for (int i = count - 1; i >= 0; i--) {
        double s = y[i];
        for (int k = i + 1; k < count; k++) s -= L[k * N + i] * step[index[k]];
        step[index[i]] = s / L[i * N + i];
    }
    return 1;
}

/* How much the quadratic model falls with a step; in the cost's unit. */
static double predicted(const Model *m, int N, const double *step) {
    double fall = 0;
    for (int i = 0; i < N; i++) {
        double h = 0.5 * m->hessian[i * N + i] * step[i];
        for (int j = 0; j < i; j++) h += m->hessian[i * N + j] * step[j];
        fall -= 2 * step[i] * (m->gradient[i] + h);
    }
    return fall;
}

/* A value within limits; one that reaches them but for rounding is on them. */
static double clip(double value, double low, double high) {
    return value < low + 1e-12 ? low : value > high - 1e-12 ? high : value;
}

static void bounds(const Fit *p, const State *s, int i, double *value, double *low, double *high) {
    if (i < 6) {
        *value = 0, *low = -INFINITY, *high = INFINITY;
    } else if (i < 6 + p->variables) {
        *value = s->x[i - 6], *low = p->lower[i - 6], *high = p->upper[i - 6];
    } else {
        const int k = i - 6 - p->variables;
        *value = s->shape[k], *low = p->shape_lower[k], *high = p->shape_upper[k];
    }
}

/* The state after a step, which is cut to what the limits leave of it. */
static void moved_by(const Fit *p, const State *s, double *step, State *to) {
    double turn[9];
    exponential(step, turn, 0);
    multiply(turn, s->rotation, to->rotation);
    for (int k = 0; k < 3; k++) to->position[k] = s->position[k] + step[3 + k];
    for (int i = 6; i < 6 + p->variables + p->shapes; i++) {
        double value, low, high, *out = i < 6 + p->variables ? to->x + i - 6 : to->shape + i - 6 - p->variables;
        bounds(p, s, i, &value, &low, &high);
        *out = clip(value + step[i], low, high);
        step[i] = *out - value;
    }
}

static void read_state(const Fit *p, State *s) {
    memcpy(s->rotation, p->rotation, sizeof s->rotation);
    memcpy(s->position, p->position, sizeof s->position);
    for (int k = 0; k < p->variables; k++) s->x[k] = clip(p->x[k], p->lower[k], p->upper[k]);
    for (int k = 0; k < p->shapes; k++) s->shape[k] = clip(p->shape[k], p->shape_lower[k], p->shape_upper[k]);
}

static void write_state(const Fit *p, const State *s) {
    memcpy(p->rotation, s->rotation, sizeof s->rotation);
    memcpy(p->position, s->position, sizeof s->position);
    memcpy(p->x, s->x, (size_t)p->variables * sizeof *p->x);
    memcpy(p->shape, s->shape, (size_t)p->shapes * sizeof *p->shape);
}

/* Minimises from the state, in place; returns the number of evaluations. */
EXPORT int32_t humanrt_fit(const Fit *p) {
    const int N = 6 + p->variables + p->shapes;
    State states[2], *now = &states[0], *next = &states[1];
    Model models[2], *here = &models[0], *there = &models[1];
    Pose pose;
    double step[MAX_VARIABLES], unit = 0;
    int8_t held[MAX_VARIABLES];
    int evaluations = 1;
    models[0].hessian = p->work, models[1].hessian = p->work + N * N;

    read_state(p, now);
    evaluate(p, now, &pose, here, 1);
    for (int i = 0; i < N; i++) unit += here->hessian[i * N + i];
    unit = unit > 0 ? 1e-3 * unit / N : 1e-6;
    /* What nothing shows must not move: so the damping is never 0. */
    const double least = 1e-6 * unit;
    double damping = least;

    while (evaluations < p->max_iterations) {
        double largest = 0;
        int solved = 0;
        for (int i = 0; i < N; i++) {
            double value, low, high;
            bounds(p, now, i, &value, &low, &high);
            held[i] = (value <= low && here->gradient[i] >= 0) || (value >= high && here->gradient[i] <= 0);
            step[i] = 0;
        }
        /* The damped model within the limits: a variable whose step leaves them is held at the border, and so on. */
        for (int round = 0; round <= N; round++) {
            int left = 0;
            solved = newton_step(here, N, held, damping, step, p->work + 2 * N * N);
            if (!solved) break;
            for (int i = 6; i < N; i++) {
                double value, low, high;
                if (held[i]) continue;
                bounds(p, now, i, &value, &low, &high);
                if (value + step[i] < low || value + step[i] > high) {
                    step[i] = (value + step[i] < low ? low : high) - value;
                    held[i] = 1;
                    left = 1;
                }
            }
            if (!left) break;
        }
        if (!solved) {
            damping = damping > least ? 4 * damping : unit;
            if (damping > 1e12 * unit) break;
            continue;
        }
        moved_by(p, now, step, next);
        for (int i = 0; i < N; i++) largest = fmax(largest, fabs(step[i]));
        evaluate(p, next, &pose, there, 1);
        evaluations++;
        const double fall = here->cost - there->cost, promise = predicted(here, N, step);
        if (fall > 1e-4 * promise || (fall >= -1e-12 * here->cost && largest < 1e-5)) {
            State *state = now;
            Model *model = here;
            now = next, next = state;
            here = there, there = model;
            if (largest < p->tolerance) break;
            if (fall > 0.75 * promise) damping = damping > unit ? 0.125 * damping : least;
            else if (fall < 0.25 * promise) damping = damping > least ? 2 * damping : unit;
        } else {
            if (largest < p->tolerance) break;
            damping = damping > least ? 4 * damping : unit;
        }
    }
    *p->cost = here->cost;
    write_state(p, now);
    pose_of(p, now, &pose);
    for (int l = 0; l < p->links; l++) {
        memcpy(p->world + 9 * l, pose.world[l], sizeof pose.world[l]);
        memcpy(p->origin + 3 * l, pose.origin[l], sizeof pose.origin[l]);
    }
    for (int i = 0; i < p->points; i++) point_of(p, now, &pose, i, p->place + 3 * i);
    return evaluations;
}

/* Cost of the state as it is, half its gradient [N] and half its Hessian (Gauss-Newton) [N, N]; for tests. */
EXPORT double humanrt_fit_model(const Fit *p, double *gradient, double *hessian) {
    const int N = 6 + p->variables + p->shapes;
    State s;
    Pose pose;
    Model m;
    m.hessian = p->work;
    read_state(p, &s);
    evaluate(p, &s, &pose, &m, 1);
    for (int i = 0; i < N; i++) {
        gradient[i] = m.gradient[i];
        for (int j = 0; j < N; j++) hessian[i * N + j] = m.hessian[i >= j ? i * N + j : j * N + i];
    }
    return m.cost;
}

/* Variances at the state, by the factor L of a Hessian: of the `wanted` [P] points relative to the pivot, and of the
 * pivot. */
static void variances(const Fit *p, const State *s, const Pose *pose, const double *L, const int32_t *wanted,
                      double *moved, double *placed) {
    const int N = 6 + p->variables + p->shapes;
    for (int k = 0; k < 3; k++) placed[k] = inverse_diagonal(L, N, 3 + k);
    for (int n = 0; n < p->points; n++) {
        double at[3], J[MAX_VARIABLES][3], row[3][MAX_VARIABLES];
        int used[MAX_VARIABLES];
        if (!wanted[n]) continue;
        point_of(p, s, pose, n, at);
        const int count = columns(p, s, pose, n, at, J, used);
        memset(row, 0, sizeof row);
        for (int a = 0; a < count; a++)
            for (int k = 0; k < 3; k++) row[k][used[a]] = J[used[a]][k];
        for (int k = 0; k < 3; k++) {
            double *y = row[k], square = 0;
            for (int i = 0; i < N; i++) {
                y[i] = (y[i] - inner(L + i * N, y, i)) / L[i * N + i];
                square += y[i] * y[i];
            }
            moved[3 * n + k] = square;
        }
    }
}

/* What is known at the state: variances of the `wanted` [P] points, of the pivot and of x, with what was seen and by
 * belief alone, and the information about the shape. Returns 0 where a Hessian is not definite: the outputs are then
 * void. */
EXPORT int32_t humanrt_fit_spread(const Fit *p, const int32_t *wanted) {
    const int V = p->variables, shapes = p->shapes, N = 6 + V + shapes;
    State s;
    Pose pose;
    Model m;
    double *L = p->work + 2 * N * N;
    int index[MAX_VARIABLES];
    m.hessian = p->work;
    read_state(p, &s);
    for (int i = 0; i < N; i++) index[i] = i;
    evaluate(p, &s, &pose, &m, 0);
    if (!factorise(m.hessian, N, index, N, 1e-6, L)) return 0;
    variances(p, &s, &pose, L, wanted, p->moved_believed, p->placed_believed);
    evaluate(p, &s, &pose, &m, 1);
    if (!factorise(m.hessian, N, index, N, 1e-6, L)) return 0;
    variances(p, &s, &pose, L, wanted, p->moved_variance, p->placed_variance);
    for (int k = 0; k < V; k++) p->x_variance[k] = inverse_diagonal(L, N, 6 + k);
    for (int a = 0; a < shapes; a++) /* the Schur complement is what is left of the factor */
        for (int b = 0; b < shapes; b++) {
            const int least = a < b ? a : b;
            p->shape_known[a * shapes + b] =
                inner(L + (6 + V + a) * N + 6 + V, L + (6 + V + b) * N + 6 + V, least + 1);
        }
    return 1;
}

/* The variables [V] nearest to a pose, within the limits: from the root outwards each joint takes what it can of the
 * rotation that its last bone should have in the world (Rig.variables). rotations: [B, 9] of bones relative to their
 * parents. Of each link: axes as in Fit; unit: the joint's own axes; end: the bone whose rotation the joint takes at its
 * first link, -1 at its others. */
EXPORT void humanrt_fit_variables(int32_t bones, const int32_t *bone_parent, const double *rotations, int32_t links,
                                  const int32_t *parent, const int32_t *first, const int32_t *count,
                                  const int32_t *end, const double *axes, const double *unit, const double *before,
                                  const double *lower, const double *upper, double *x) {
    double wanted[MAX_LINKS][9], world[MAX_LINKS][9];
    for (int b = 0; b < bones; b++) {
        if (bone_parent[b] < 0)
            memcpy(wanted[b], rotations + 9 * b, sizeof wanted[b]);
        else
            multiply(wanted[bone_parent[b]], rotations + 9 * b, wanted[b]);
    }
    memcpy(world[0], wanted[0], sizeof world[0]);
    for (int l = 1; l < links; l++) {
        double neutral[9], w[3] = {0, 0, 0}, turn[9], jacobian[9];
        multiply(world[parent[l]], before + 9 * l, neutral);
        if (end[l] >= 0) {
            double left[9], v[3];
            for (int r = 0; r < 3; r++)
                for (int c = 0; c < 3; c++)
                    left[3 * r + c] = neutral[r] * wanted[end[l]][c] + neutral[3 + r] * wanted[end[l]][3 + c] +
                                      neutral[6 + r] * wanted[end[l]][6 + c];
            logarithm(left, v);
            for (int k = 0; k < count[l]; k++) {
                const int i = first[l] + k;
                double value = dot(unit + 9 * l + 3 * k, v);
                if (count[l] == 1) { /* the twist about the only axis */
                    const double angle = sqrt(dot(v, v)), share = value / fmax(angle, 1e-12);
                    value = 2 * atan2(share * sin(angle / 2), cos(angle / 2));
                }
                x[i] = fmin(fmax(value, lower[i]), upper[i]);
            }
        }
        for (int k = 0; k < count[l]; k++)
            for (int c = 0; c < 3; c++) w[c] += x[first[l] + k] * axes[9 * l + 3 * k + c];
        exponential(w, turn, jacobian);
        multiply(neutral, turn, world[l]);
    }
}
