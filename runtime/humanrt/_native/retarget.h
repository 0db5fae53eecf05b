/* The retargeting problem, and the arithmetic that the CPU (solver.c) and the GPU (kernels/retarget.cu) do alike.
 *
 * Included by both, so it is C99 and CUDA C++ at once. `Problem` is `Layout` of humanrt/retarget/layout.py: raise
 * HUMANRT_VERSION (export.h) when it changes.
 *
 * Frames: keypoints in camera axes; the wrist frame has x out of the palm, z towards the fingers, y = z x x;
 * robot vectors are in the robot's base frame. Metres, radians.
 */
#ifndef HUMANRT_RETARGET_H
#define HUMANRT_RETARGET_H

#if defined(__CUDACC__) || defined(HUMANRT_ON_CPU)
#define FUNCTION static __device__
#define LARGE static __device__ __noinline__
#define NOT_UNROLLED _Pragma("unroll 1") /* unrolled, it takes minutes to compile */
#else
#define FUNCTION static
#define LARGE static
#define NOT_UNROLLED
#endif

enum { KEYPOINTS = 21, PALM = 6 };
/* How a target is made: humanrt/retarget/objective.py. */
enum { VECTOR = 0, DIRECTION = 1, DEXPILOT_THUMB = 2, DEXPILOT_FINGERS = 3, PINCH = 4, GRIP = 5 };

/* A search that comes so near (rad) to the best minimum known is about to find it again. */
#define SAME 1e-2
/* Steps below this (rad) are Newton's last ones: each lowers the cost by far less than the one before. */
#define CLOSING 2e-2

/* A search where capsules meet, whose cost has kinks, ends when so many evaluations lowered it by no more than this share. */
#define STALLED 4
#define STALL 1e-3
/* There, each step that gains nothing raises the damping by so much, as the gradient leaps within a step: else by 4. */
#define AT_KINKS 16

/* Constants of a robot hand and its objective, then the state of B hands: the CPU solves one (B = 1), the GPU a batch.
 * J joints, N variables, P points, K tasks, C pairs of capsules that must not meet (CPU). */
typedef struct {
    int32_t joints, variables, points, tasks, max_iterations, starts, dof;
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
    const int32_t *driven;       /* GPU: [J] the joints ordered by their variable, locked ones left out */
    const int32_t *driven_from;  /* GPU: [N + 1] where each variable's begin in `driven` */
    const int64_t *above;        /* GPU: [J] bit i: joint i is the joint itself or between it and the base */
    double *frame;               /* [B, 9] state: the last wrist frame, columns are its axes in camera axes */
    int32_t *has_frame;          /* [B] state: 0 until the first frame */
    int32_t *projected;          /* [B, K] state: DexPilot's hysteresis */
    double *target;              /* CPU: [K, 3] out: what the robot vectors should be */
    double *weight;              /* CPU: [K] out */
    double *x;                   /* [B, N] state: the last solution in, the next out */
    double *q;                   /* [B, dof] out: the same as joint angles */
    double *cost;                /* [B] out */
    int32_t *evaluations;        /* GPU: [B] out: -1 where a keypoint is not a finite number: nothing else is
                                  * written then */
    /* CPU: pairs of capsules that must not meet. */
    int32_t collisions;
    double collision_weight;         /* the cost of a depth of d metres is half of this times d^2 */
    const int32_t *collision_points; /* [C, 4] points at the ends of two capsules' axes: first, first, second, second */
    const double *collision_reach;   /* [C] sum of the two radii, m */
} Problem;

FUNCTION void cross(const double *a, const double *b, double *c) {
    c[0] = a[1] * b[2] - a[2] * b[1];
    c[1] = a[2] * b[0] - a[0] * b[2];
    c[2] = a[0] * b[1] - a[1] * b[0];
}

FUNCTION double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

FUNCTION double clip(double value, double low, double high) {
    return value < low ? low : value > high ? high : value;
}

/* Largest two eigenvalues, and the vector of the largest, of a symmetric 4x4 matrix, by cyclic Jacobi. */
LARGE void eigen4(double A[4][4], double *values, double *vector) {
    double V[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    for (int sweep = 0; sweep < 30; sweep++) {
        double off = 0, diagonal = 0;
        for (int i = 0; i < 4; i++) {
            diagonal += A[i][i] * A[i][i];
            for (int j = i + 1; j < 4; j++) off += A[i][j] * A[i][j];
        }
        if (off <= 1e-32 * diagonal || off == 0) break;
        NOT_UNROLLED
        for (int p = 0; p < 3; p++)
            NOT_UNROLLED
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
    values[1] = -1e300;
    for (int i = 0; i < 4; i++)
        if (i != best && A[i][i] > values[1]) values[1] = A[i][i];
    for (int k = 0; k < 4; k++) vector[k] = V[k][best];
}

/* Rotation R that maximises tr(R^T B) (Wahba's problem), by Horn's quaternion matrix. */
LARGE void wahba(const double B[3][3], double *values, double *R) {
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

/* Wrist frame from the palm's keypoints, into `frame`; returns the size of the palm against the template's. */
LARGE double wrist_frame(const Problem *p, const double *keypoints, double *frame, int32_t *has_frame) {
    const int palm[PALM] = {0, 1, 5, 9, 13, 17};
    double centre[3] = {0, 0, 0}, middle[3] = {0, 0, 0}, total = 0, spread = 0, values[2], R[9];
    double B[3][3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
    for (int i = 0; i < PALM; i++) {
        double w = p->palm_weight[i];
        total += w;
        for (int c = 0; c < 3; c++) {
            centre[c] += w * keypoints[3 * palm[i] + c];
            middle[c] += w * p->palm_template[3 * i + c];
        }
    }
    for (int c = 0; c < 3; c++) centre[c] /= total, middle[c] /= total;
    for (int i = 0; i < PALM; i++) {
        double w = p->palm_weight[i];
        for (int a = 0; a < 3; a++) {
            double t = p->palm_template[3 * i + a] - middle[a];
            spread += w * t * t;
            for (int b = 0; b < 3; b++) B[b][a] += w * (keypoints[3 * palm[i] + b] - centre[b]) * t;
        }
    }
    wahba(B, values, R);
    double fit = values[0] / spread;
    double health = values[0] > 1e-12 ? (values[0] - values[1]) / values[0] : 0;
    if (*has_frame && health < 0.1) {
        /* The points hardly say how the palm is turned: lean on the last frame, the more the less they say. */
        double lean = 1 - health / 0.1;
        double pull = lean * lean * (values[0] > 1e-12 ? values[0] : 1);
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) B[i][j] += pull * frame[3 * i + j];
        wahba(B, values, R);
    }
    for (int i = 0; i < 9; i++) frame[i] = R[i];
    *has_frame = 1;
    return fit > 0.2 ? fit : 0.2;
}

/* Human vectors -> target [3] and weight of task k. local: [21, 3] keypoints in the robot's base frame; size: of the
 * palm against the template's. projected: [K], read and written: DEXPILOT_FINGERS come after the thumb's tasks. */
FUNCTION void set_target(const Problem *p, int k, const double *local, double size, int32_t *projected, double *target,
                         double *weight) {
    const int kind = p->task_kind[k];
    const double *a = local + 3 * p->task_human[2 * k], *b = local + 3 * p->task_human[2 * k + 1];
    const double near_weight = p->task_close[2 * k], near = p->task_close[2 * k + 1];
    double v[3], factor = p->task_scale[k], w = p->task_weight[k];
    for (int c = 0; c < 3; c++) v[c] = b[c] - a[c];
    const double length = sqrt(dot(v, v));
    if (kind == DIRECTION) { /* mixed with the direction of a second human vector, then back to unit length */
        const double *a2 = local + 3 * p->task_pairs[2 * k], *b2 = local + 3 * p->task_pairs[2 * k + 1];
        double u[3] = {b2[0] - a2[0], b2[1] - a2[1], b2[2] - a2[2]};
        const double mix = near_weight / (sqrt(dot(u, u)) + 1e-6);
        for (int c = 0; c < 3; c++) v[c] = v[c] / (length + 1e-6) + mix * u[c];
        factor /= sqrt(dot(v, v)) + 1e-6;
    } else if (kind == DEXPILOT_THUMB || kind == DEXPILOT_FINGERS) {
        if (kind == DEXPILOT_THUMB) {
            if (length < p->project) projected[k] = 1;
            if (length > p->escape) projected[k] = 0;
        } else {
            projected[k] = projected[p->task_pairs[2 * k]] && projected[p->task_pairs[2 * k + 1]] && length <= 0.03;
        }
        if (projected[k]) w = near_weight, factor = near / (length + 1e-6);
    } else if (kind == PINCH) { /* the same idea without memory: a smooth step between the two distances */
        double u = clip((p->escape - length / size) / (p->escape - p->project), 0, 1);
        u = u * u * (3 - 2 * u);
        w += u * (near_weight - w);
        factor = factor * (1 - u) / size + u * near / (length + 1e-6);
    } else if (kind == GRIP) {
        const double *shut = p->task_grip + 6 * k, *wide = shut + 3;
        const double u = clip((length / size - p->project) / (near - p->project), 0, 1);
        for (int c = 0; c < 3; c++) v[c] = shut[c] + u * (wide[c] - shut[c]);
        w += (1 - u) * (near_weight - w);
        factor = 1;
    }
    for (int c = 0; c < 3; c++) target[c] = factor * v[c];
    *weight = w;
}

/* Rotation M [3, 3] by q about the unit axis u: Rodrigues' formula. */
FUNCTION void turn(const double *u, double q, double *M) {
    const double s = sin(q), c = cos(q), d = 1 - c;
    M[0] = c + d * u[0] * u[0], M[1] = d * u[0] * u[1] - s * u[2], M[2] = d * u[0] * u[2] + s * u[1];
    M[3] = d * u[0] * u[1] + s * u[2], M[4] = c + d * u[1] * u[1], M[5] = d * u[1] * u[2] - s * u[0];
    M[6] = d * u[0] * u[2] - s * u[1], M[7] = d * u[1] * u[2] + s * u[0], M[8] = c + d * u[2] * u[2];
}

#endif
