/* SPDX-License-Identifier: Apache-2.0 */
#include "data/trouble.h"

#include <string.h>

void gn2_trouble_keep(gn2_trouble *trouble, gn2_status status)
{
    if (trouble->status != GN2_OK) return;
    trouble->status = status;
    strncpy(trouble->text, gn2_error_text(), sizeof trouble->text - 1);
    trouble->text[sizeof trouble->text - 1] = 0;
}

void gn2_trouble_pass(gn2_trouble *trouble, const gn2_trouble *other)
{
    if (trouble->status == GN2_OK && other->status != GN2_OK) *trouble = *other;
}

gn2_status gn2_trouble_raise(const gn2_trouble *trouble)
{
    if (trouble->status == GN2_OK) return GN2_OK;
    return gn2_fail(trouble->status, "%s", trouble->text);
}
