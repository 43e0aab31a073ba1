/* SPDX-License-Identifier: Apache-2.0 */
/* Uses libgn2_mpi as it was installed, without MPI's own headers; nothing is begun. */
#include <gn2_mpi.h>
#include <stdio.h>

int main(void)
{
    gn2_mpi_set_timeout(30);
    if (gn2_mpi_group(GN2_MPI_WORLD, NULL) != GN2_ERR_INVALID_ARG) return 1;
    if (!gn2_mpi_last_error()[0]) return 1;
    printf("libgn2 %s %s\n", gn2_version(), gn2_features());
    return 0;
}
