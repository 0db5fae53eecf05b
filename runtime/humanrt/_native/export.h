/* What every source of the native library shares. */
#ifndef HUMANRT_EXPORT_H
#define HUMANRT_EXPORT_H

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Version of all signatures and structures that humanrt/native.py and its users call: change one, raise it there too. */
enum { HUMANRT_VERSION = 15 };

#endif
