/* SPDX-License-Identifier: Apache-2.0 */
/* Where HDF5 is linked in from an archive not made for shared objects: its code
 * reaches `stderr` and `stdout` by their distance, so they must be in this object. The
 * linker turns those names (--wrap) into these variables. */
#include <stdio.h>

extern FILE *__real_stderr, *__real_stdout;
__attribute__((visibility("hidden"))) FILE *__wrap_stderr, *__wrap_stdout;

__attribute__((constructor)) static void set_streams(void)
{
    __wrap_stderr = __real_stderr;
    __wrap_stdout = __real_stdout;
}
