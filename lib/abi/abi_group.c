/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of group.h. */
#include "abi/guard.h"
#include "group/group.h"
#include "train/trainer.h"

gn2_status gn2_group_create(const gn2_transport *transport, gn2_group **out_group)
{
    gn2_transport mine;
    GN2_REQUIRE(out_group);
    *out_group = NULL;
    GN2_REQUIRE(transport);
    GN2_TRY(gn2_guard_in(GN2_GUARD_IN(gn2_transport, reserved), &mine, transport));
    return gn2_group_new(&mine, out_group);
}

void gn2_group_free(gn2_group *group)
{
    gn2_group_delete(group);
}

int32_t gn2_group_rank(const gn2_group *group)
{
    return gn2_group_me(group);
}

int32_t gn2_group_size(const gn2_group *group)
{
    return gn2_group_ranks(group);
}

gn2_status gn2_group_broadcast(gn2_group *group, void *data, size_t size, int32_t root)
{
    GN2_REQUIRE(group);
    if (size) GN2_REQUIRE(data);
    GN2_CHECK(root >= 0 && root < gn2_group_ranks(group),
              "gn2_group_broadcast: root = %d of %d ranks", (int)root,
              (int)gn2_group_ranks(group));
    GN2_TRY_HELD(&group->use, gn2_group_spread(group, data, size, root));
    return GN2_OK;
}

gn2_status gn2_trainer_join(gn2_trainer *trainer, gn2_group *group)
{
    GN2_REQUIRE(trainer);
    GN2_REQUIRE(group);
    GN2_TRY_HELD(&trainer->use, gn2_train_join(trainer, group));
    return GN2_OK;
}
