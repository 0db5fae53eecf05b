/* A STAND-IN for libcuda.so.1, so that the real pycuda runs where there is no GPU: for the calls that humanrt makes.
 *
 * Memory is the host's, work is done when it is given, and a kernel of a cubin (whose name is looked for in it) is the
 * function `run` of NAME.so in $HUMANRT_CPU_KERNELS: its own source compiled for the CPU (tests/kernels/on_cpu.cpp).
 * Stream capture records what is given and gives it again. It shows that the calls are made rightly; nothing of a GPU.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <functional>
#include <string>
#include <vector>

typedef int Result;
enum { OK = 0, INVALID = 1, NO_MEMORY = 2, NOT_FOUND = 500, NOT_SUPPORTED = 801, CAPTURED = 901 };
typedef std::vector<std::function<void()>> Work;
struct Stream {
    Work *recording;
};
struct Module {
    std::string image;
};
static Stream nothing;
static size_t held;

static Result give(void *stream, std::function<void()> work) {
    Stream *s = stream ? (Stream *)stream : &nothing;
    if (s->recording) s->recording->push_back(work);
    else work();
    return OK;
}

extern "C" {
Result cuInit(unsigned) { return OK; }
Result cuDriverGetVersion(int *version) { return *version = 13000, OK; }
Result cuDeviceGetCount(int *count) { return *count = 1, OK; }
Result cuDeviceGet(int *device, int ordinal) { return *device = 0, ordinal ? 101 : OK; }
Result cuDeviceGetName(char *name, int size, int) { return snprintf(name, size, "Stand-in"), OK; }
Result cuDeviceGetAttribute(int *value, int, int) { return *value = 1, OK; }
Result cuDeviceComputeCapability(int *major, int *minor, int) { return *major = 9, *minor = 0, OK; }
Result cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = 1 << 30, OK; }
Result cuDevicePrimaryCtxRetain(void **context, int) { return *context = (void *)16, OK; }
Result cuDevicePrimaryCtxRelease_v2(int) { return OK; }
static void *stack[16];
static int depth;
Result cuCtxPushCurrent_v2(void *context) { return stack[depth++] = context, OK; }
Result cuCtxPopCurrent_v2(void **context) {
    if (!depth) return 201;
    depth--;
    if (context) *context = stack[depth];
    return OK;
}
Result cuCtxGetCurrent(void **context) { return *context = depth ? stack[depth - 1] : nullptr, OK; }
Result cuCtxGetDevice(int *device) { return *device = 0, OK; }
Result cuCtxSynchronize() { return OK; }
Result cuMemGetInfo_v2(size_t *free, size_t *total) { return *total = 1 << 30, *free = *total - held, OK; }
Result cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    if (held + bytes > 1 << 30) return NO_MEMORY;
    size_t *p = (size_t *)malloc(bytes + 64);
    memset(p, 0xff, bytes + 64); /* NaN */
    *p = bytes, held += bytes;
    return *address = (uint64_t)p + 64, OK;
}
Result cuMemFree_v2(uint64_t address) {
    size_t *p = (size_t *)(address - 64);
    return held -= *p, free(p), OK;
}
Result cuMemHostAlloc(void **address, size_t bytes, unsigned) { return *address = malloc(bytes), OK; }
Result cuMemFreeHost(void *address) { return free(address), OK; }
Result cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) { return memcpy((void *)to, from, bytes), OK; }
Result cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) { return memcpy(to, (void *)from, bytes), OK; }
Result cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
    return give(stream, [=] { memcpy((void *)to, from, bytes); });
}
Result cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
    return give(stream, [=] { memcpy(to, (void *)from, bytes); });
}
Result cuStreamCreate(void **stream, unsigned) { return *stream = new Stream(), OK; }
Result cuStreamDestroy_v2(void *stream) { return delete (Stream *)stream, OK; }
Result cuStreamSynchronize(void *stream) { return stream && ((Stream *)stream)->recording ? CAPTURED : OK; }
Result cuStreamQuery(void *) { return OK; }
Result cuStreamWaitEvent(void *, void *, unsigned) { return OK; }
Result cuEventCreate(void **event, unsigned) { return *event = calloc(1, sizeof(double)), OK; }
Result cuEventDestroy_v2(void *event) { return free(event), OK; }
Result cuEventRecord(void *event, void *stream) {
    return give(stream, [=] {
        timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        *(double *)event = t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
    });
}
Result cuEventSynchronize(void *) { return OK; }
Result cuEventQuery(void *) { return OK; }
Result cuEventElapsedTime_v2(float *ms, void *from, void *to) { return *ms = *(double *)to - *(double *)from, OK; }
Result cuGetErrorString(Result status, const char **text) {
    *text = status == NO_MEMORY ? "out of memory" : status == 101 ? "invalid device ordinal"
            : status == CAPTURED ? "operation not permitted when stream is capturing" : "not supported";
    return OK;
}
Result cuModuleLoadDataEx(void **module, const void *image, unsigned, int *, void **) {
    if (memcmp(image, "\x7f" "ELF", 4)) return 200;
    uint64_t sections;
    uint16_t size, count;
    memcpy(&sections, (const char *)image + 40, 8), memcpy(&size, (const char *)image + 58, 2);
    memcpy(&count, (const char *)image + 60, 2);
    return *module = new Module{std::string((const char *)image, sections + size * count)}, OK;
}
Result cuModuleLoadData(void **module, const void *image) { return cuModuleLoadDataEx(module, image, 0, 0, 0); }
Result cuModuleUnload(void *module) { return delete (Module *)module, OK; }
Result cuModuleGetFunction(void **function, void *module, const char *name) {
    if (((Module *)module)->image.find(name) == std::string::npos) return NOT_FOUND;
    return *function = strdup(name + strlen("humanrt_")), OK;
}
Result cuFuncSetBlockShape(void *, int, int, int) { return OK; } /* pycuda still calls it before cuLaunchKernel */
Result cuFuncSetAttribute(void *, int, int) { return OK; }
Result cuFuncGetAttribute(int *value, int, void *) { return *value = 1, OK; }

static void run(const std::string &name, const char *arguments, unsigned columns, unsigned rows, unsigned lanes,
                unsigned shared) {
    const std::string path = std::string(getenv("HUMANRT_CPU_KERNELS")) + "/" + name + ".so";
    void *library = dlopen(path.c_str(), RTLD_NOW), *f = library ? dlsym(library, "run") : nullptr;
    if (!f) return (void)fprintf(stderr, "%s\n", dlerror()), abort();
    void *const *p = (void *const *)arguments;
    if (name == "one_euro") {
        struct Arguments {
            void *points;
            int hands, count, dims;
            void *dt;
            int first, last;
            double cutoff, beta, derivative;
            void *raw, *smooth, *velocity, *out;
        } a;
        memcpy(&a, arguments, sizeof a);
        ((void (*)(void *, int, int, int, void *, int, int, double, double, double, void *, void *, void *, void *, int,
                   int))f)(a.points, a.hands, a.count, a.dims, a.dt, a.first, a.last, a.cutoff, a.beta, a.derivative,
                           a.raw, a.smooth, a.velocity, a.out, lanes, columns);
    } else if (name == "pick") {
        struct Arguments {
            void *windows;
            int count, frames, values, row;
            float part;
            void *out;
        } a;
        memcpy(&a, arguments, sizeof a);
        ((void (*)(void *, int, int, int, int, float, void *, int, int))f)(a.windows, a.count, a.frames, a.values, a.row,
                                                                           a.part, a.out, lanes, columns);
    } else if (name == "retarget") {
        int local;
        memcpy(&local, arguments + 32, sizeof local);
        if (((int (*)(void *, void *, void *, void *, int, int, int, int, int))f)(p[0], p[1], p[2], p[3], local, columns,
                                                                               shared, lanes, 0))
            abort();
    } else ((void (*)(void *, int, int))f)(p[0], columns, rows);
}

Result cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned, unsigned lanes, unsigned, unsigned,
                      unsigned shared, void *stream, void **, void **extra) {
    const char *buffer = nullptr;
    size_t size = 0;
    for (; *extra; extra += 2) {
        if (*extra == (void *)1) buffer = (const char *)extra[1];
        if (*extra == (void *)2) size = *(size_t *)extra[1];
    }
    const std::string arguments(buffer, size), name((const char *)function);
    return give(stream, [=] {
        alignas(16) char own[256];
        memcpy(own, arguments.data(), arguments.size());
        run(name, own, x, y, lanes, shared);
    });
}

Result cuStreamBeginCapture_v2(void *stream, int) { return ((Stream *)stream)->recording = new Work(), OK; }
Result cuStreamEndCapture(void *stream, void **graph) {
    *graph = ((Stream *)stream)->recording;
    return ((Stream *)stream)->recording = nullptr, OK;
}
Result cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long) {
    return *executable = new Work(*(Work *)graph), OK;
}
Result cuGraphLaunch(void *executable, void *stream) {
    for (auto &work : *(Work *)executable) give(stream, work);
    return OK;
}
Result cuGraphDestroy(void *graph) { return delete (Work *)graph, OK; }
Result cuGraphExecDestroy(void *executable) { return delete (Work *)executable, OK; }
}
