/* Runs a .cu of humanrt on the CPU, from its own source: -DSOURCE="....cu" -DKERNEL_<name>.
 *
 * Threads of a block are fibres that change at __syncwarp() and nowhere else, in ascending or descending order: code that
 * needs a barrier and lacks it gives other numbers in one of the two orders. A block whose threads do not meet at the
 * same number of barriers is reported. This is no test of timing, of caches, or of the GPU's own sin and exp. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define HUMANRT_ON_CPU
#define __global__
#define __device__
#define __noinline__ __attribute__((noinline))

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim, gridDim;
static double *memory;
static double *humanrt_shared() { return memory; }

enum { MOST = 64, STACK = 1 << 18 };
static ucontext_t scheduler, fibres[MOST];
static int current, finished[MOST];
static void __syncwarp() {
    if (blockDim.x > 1) swapcontext(&fibres[current], &scheduler);
}

#include SOURCE

static void (*body)();
static void fibre() {
    body();
    finished[current] = 1;
    swapcontext(&fibres[current], &scheduler);
}

/* One block; 0, or 1 where its threads disagree on the number of barriers. */
static int run_block(int lanes, int descending) {
    static char *stacks = (char *)malloc((size_t)MOST * STACK);
    blockDim.x = lanes;
    if (lanes == 1) {
        threadIdx.x = 0;
        body();
        return 0;
    }
    for (int i = 0; i < lanes; i++) {
        getcontext(&fibres[i]);
        fibres[i].uc_stack.ss_sp = stacks + (size_t)i * STACK;
        fibres[i].uc_stack.ss_size = STACK;
        fibres[i].uc_link = 0;
        finished[i] = 0;
        makecontext(&fibres[i], fibre, 0);
    }
    for (;;) {
        int done = 0;
        for (int k = 0; k < lanes; k++) {
            current = descending ? lanes - 1 - k : k;
            threadIdx.x = current;
            swapcontext(&scheduler, &fibres[current]);
            done += finished[current];
        }
        if (done == lanes) return 0;
        if (done) return 1;
    }
}

#ifdef KERNEL_retarget
static const Problem *robot;
static const float *keypoints;
static const int32_t *mirror;
static const double *smoothing;
static int is_local;
static void retarget() { humanrt_retarget(robot, keypoints, mirror, smoothing, is_local); }

/* 0; 1 barriers; 2 more shared memory used than `bytes`. */
extern "C" int run(const Problem *r, const float *k, const int32_t *m, const double *s, int local, int hands, int bytes,
                   int lanes, int descending) {
    const int guard = 4096;
    memory = (double *)malloc(bytes + guard);
    robot = r, keypoints = k, mirror = m, smoothing = s, is_local = local, body = retarget;
    int status = 0;
    for (int hand = 0; hand < hands && !status; hand++) {
        memset(memory, 0xff, bytes + guard); /* NaN: nothing may be read before it is written */
        blockIdx.x = hand;
        status = run_block(lanes, descending);
        for (int i = 0; i < guard; i++)
            if (((unsigned char *)memory)[bytes + i] != 0xff) status = 2;
    }
    free(memory);
    return status;
}
#endif

#ifdef KERNEL_one_euro
extern "C" void run(const float *points, int hands, int count, int dims, const double *dt, int first, int last,
                    double cutoff, double beta, double derivative, double *raw, double *smooth, double *velocity,
                    float *out, int block, int blocks) {
    blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < (unsigned)blocks; blockIdx.x++)
        for (threadIdx.x = 0; threadIdx.x < (unsigned)block; threadIdx.x++)
            humanrt_one_euro(points, hands, count, dims, dt, first, last, cutoff, beta, derivative, raw, smooth, velocity,
                             out);
}
#endif

#if defined KERNEL_letterbox || defined KERNEL_crop
extern "C" void run(const void *parameters, int columns, int rows) {
    blockDim.x = 32, blockDim.y = 8;
    for (blockIdx.y = 0; blockIdx.y < (unsigned)rows; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < (unsigned)columns; blockIdx.x++)
            for (threadIdx.y = 0; threadIdx.y < 8; threadIdx.y++)
                for (threadIdx.x = 0; threadIdx.x < 32; threadIdx.x++) {
#ifdef KERNEL_crop
                    humanrt_crop((const Crop *)parameters);
#else
                    humanrt_letterbox((const Letterbox *)parameters);
#endif
                }
}
#endif

#ifdef KERNEL_pick
extern "C" void run(const float *windows, int count, int frames, int values, int row, float part, float *out, int block,
                    int blocks) {
    blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < (unsigned)blocks; blockIdx.x++)
        for (threadIdx.x = 0; threadIdx.x < (unsigned)block; threadIdx.x++)
            humanrt_pick(windows, count, frames, values, row, part, out);
}
#endif
