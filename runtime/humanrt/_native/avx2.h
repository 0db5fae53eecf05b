/* Whether a source has code for AVX2 (HAVE_AVX2_PATH), and whether this processor runs it (has_avx2). The library itself
 * is compiled for any x86-64: such code is in functions of its own, with __attribute__((target("avx2,fma"))). */
#ifndef HUMANRT_AVX2_H
#define HUMANRT_AVX2_H

#if defined(__x86_64__) || defined(_M_X64)
#define HAVE_AVX2_PATH 1
#include <cpuid.h>
#include <immintrin.h>

static int ask_avx2(void) {
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const unsigned wanted = (1u << 12) | (1u << 27) | (1u << 28); /* FMA, OSXSAVE, AVX */
    if ((c & wanted) != wanted) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6) return 0; /* the system saves the wide registers */
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 5));
}

/* Asked once: under a hypervisor the question takes longer than some crops. */
static int has_avx2(void) {
    static int known = -1;
    if (known < 0) known = ask_avx2();
    return known;
}
#endif

#endif
