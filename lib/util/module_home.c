/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled twice: libgn2 knows the folder it will be installed to, tests that have the
 * rooms linked in know the build tree. */
#include "util/module.h"

const char *const gn2_module_home = GN2_MODULE_HOME;
