#include <stdint.h>

#include "export.h"

/* The first function that the loader calls; see humanrt/native.py. */
EXPORT int32_t humanrt_version(void);
EXPORT int32_t humanrt_version(void) { return HUMANRT_VERSION; }
