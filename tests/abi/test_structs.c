/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of every public struct on 64-bit machines, held at compile time; built
 * with -Werror=padded, since a field that falls into padding would change a struct
 * without changing its size.
 */
#include <gn2/gn2.h>

#define SIZE(type, bytes) \
    _Static_assert(sizeof(type) == (bytes), "size of " #type " changed")
#define AT(type, field, bytes)                       \
    _Static_assert(offsetof(type, field) == (bytes), \
                   "offset of " #type "." #field " changed")

_Static_assert(sizeof(void *) == 8, "these layouts are those of 64-bit machines");
_Static_assert(sizeof(gn2_status) == 4, "statuses are 32-bit integers");

SIZE(gn2_config_info, 88);
AT(gn2_config_info, struct_size, 0);
AT(gn2_config_info, type, 4);
AT(gn2_config_info, key, 8);
AT(gn2_config_info, default_text, 16);
AT(gn2_config_info, doc, 24);
AT(gn2_config_info, min, 32);
AT(gn2_config_info, max, 40);
AT(gn2_config_info, choices, 48);
AT(gn2_config_info, reserved, 56);

SIZE(gn2_param_info, 120);
AT(gn2_param_info, struct_size, 0);
AT(gn2_param_info, role, 4);
AT(gn2_param_info, name, 8);
AT(gn2_param_info, shape, 16);
AT(gn2_param_info, count, 32);
AT(gn2_param_info, fan_in, 40);
AT(gn2_param_info, fan_out, 48);
AT(gn2_param_info, init_std, 56);
AT(gn2_param_info, lr_mult, 64);
AT(gn2_param_info, wd_mult, 72);
AT(gn2_param_info, forward_mult, 80);
AT(gn2_param_info, rank, 88);
AT(gn2_param_info, flags, 92);
AT(gn2_param_info, reserved, 96);

SIZE(gn2_sequence, 80);
AT(gn2_sequence, struct_size, 0);
AT(gn2_sequence, flags, 4);
AT(gn2_sequence, data, 8);
AT(gn2_sequence, row_stride, 16);
AT(gn2_sequence, offsets, 24);
AT(gn2_sequence, valid, 32);
AT(gn2_sequence, slots, 40);
AT(gn2_sequence, reserved, 48);

SIZE(gn2_jets, 80);
AT(gn2_jets, struct_size, 0);
AT(gn2_jets, sequence_count, 4);
AT(gn2_jets, count, 8);
AT(gn2_jets, features, 16);
AT(gn2_jets, row_stride, 24);
AT(gn2_jets, sequences, 32);
AT(gn2_jets, sequence_stride, 40);
AT(gn2_jets, reserved, 48);

SIZE(gn2_output, 64);
AT(gn2_output, struct_size, 0);
AT(gn2_output, id, 4);
AT(gn2_output, data, 8);
AT(gn2_output, capacity, 16);
AT(gn2_output, row_stride, 24);
AT(gn2_output, type, 32);
AT(gn2_output, flags, 36);
AT(gn2_output, reserved, 40);

SIZE(gn2_output_info, 80);
AT(gn2_output_info, struct_size, 0);
AT(gn2_output_info, flags, 4);
AT(gn2_output_info, id, 8);
AT(gn2_output_info, rows, 12);
AT(gn2_output_info, type, 16);
AT(gn2_output_info, sequence, 20);
AT(gn2_output_info, name, 24);
AT(gn2_output_info, object, 32);
AT(gn2_output_info, columns, 40);
AT(gn2_output_info, reserved, 48);

SIZE(gn2_label, 56);
AT(gn2_label, struct_size, 0);
AT(gn2_label, flags, 4);
AT(gn2_label, name, 8);
AT(gn2_label, data, 16);
AT(gn2_label, type, 24);
AT(gn2_label, columns, 28);
AT(gn2_label, reserved, 32);

SIZE(gn2_labels, 88);
AT(gn2_labels, struct_size, 0);
AT(gn2_labels, flags, 4);
AT(gn2_labels, label_count, 8);
AT(gn2_labels, unused, 12);
AT(gn2_labels, labels, 16);
AT(gn2_labels, label_stride, 24);
AT(gn2_labels, flavour, 32);
AT(gn2_labels, origin, 40);
AT(gn2_labels, vertex, 48);
AT(gn2_labels, reserved, 56);

SIZE(gn2_task_info, 80);
AT(gn2_task_info, struct_size, 0);
AT(gn2_task_info, flags, 4);
AT(gn2_task_info, name, 8);
AT(gn2_task_info, kind, 16);
AT(gn2_task_info, object, 24);
AT(gn2_task_info, columns, 32);
AT(gn2_task_info, label_type, 40);
AT(gn2_task_info, label_columns, 44);
AT(gn2_task_info, reserved, 48);

SIZE(gn2_dataset_info, 80);
AT(gn2_dataset_info, struct_size, 0);
AT(gn2_dataset_info, has_labels, 4);
AT(gn2_dataset_info, jet_count, 8);
AT(gn2_dataset_info, batch_count, 16);
AT(gn2_dataset_info, batch_size, 24);
AT(gn2_dataset_info, max_slots, 32);
AT(gn2_dataset_info, memory, 40);
AT(gn2_dataset_info, unwritten, 48);
AT(gn2_dataset_info, reserved, 56);

SIZE(gn2_score, 72);
AT(gn2_score, struct_size, 0);
AT(gn2_score, flags, 4);
AT(gn2_score, output, 8);
AT(gn2_score, data, 16);
AT(gn2_score, rows, 24);
AT(gn2_score, columns, 32);
AT(gn2_score, type, 36);
AT(gn2_score, reserved, 40);

SIZE(gn2_step_stats, 112);
AT(gn2_step_stats, struct_size, 0);
AT(gn2_step_stats, flags, 4);
AT(gn2_step_stats, step, 8);
AT(gn2_step_stats, jets, 16);
AT(gn2_step_stats, tokens, 24);
AT(gn2_step_stats, loss, 32);
AT(gn2_step_stats, task_losses, 40);
AT(gn2_step_stats, task_count, 48);
AT(gn2_step_stats, unused, 52);
AT(gn2_step_stats, learning_rate, 56);
AT(gn2_step_stats, beta1, 64);
AT(gn2_step_stats, gradient_norm, 72);
AT(gn2_step_stats, reserved, 80);

SIZE(gn2_metric, 16);
AT(gn2_metric, name, 0);
AT(gn2_metric, value, 8);

SIZE(gn2_metrics, 232);
AT(gn2_metrics, struct_size, 0);
AT(gn2_metrics, flags, 4);
AT(gn2_metrics, jets, 8);
AT(gn2_metrics, loss, 16);
AT(gn2_metrics, task_losses, 24);
AT(gn2_metrics, task_count, 32);
AT(gn2_metrics, unused, 36);
AT(gn2_metrics, metric_count, 40);
AT(gn2_metrics, metrics, 48);
AT(gn2_metrics, auc_b_light, 56);
AT(gn2_metrics, auc_b_c, 64);
AT(gn2_metrics, cut, 72);
AT(gn2_metrics, rejection, 104);
AT(gn2_metrics, reserved, 200);

SIZE(gn2_progress, 96);
AT(gn2_progress, struct_size, 0);
AT(gn2_progress, event, 4);
AT(gn2_progress, epoch, 8);
AT(gn2_progress, epochs, 16);
AT(gn2_progress, step, 24);
AT(gn2_progress, steps, 32);
AT(gn2_progress, seconds, 40);
AT(gn2_progress, stats, 48);
AT(gn2_progress, validation, 56);
AT(gn2_progress, reserved, 64);

SIZE(gn2_opening, 72);
AT(gn2_opening, struct_size, 0);
AT(gn2_opening, flags, 4);
AT(gn2_opening, files, 8);
AT(gn2_opening, file_count, 16);
AT(gn2_opening, jets, 24);
AT(gn2_opening, jet_count, 32);
AT(gn2_opening, reserved, 40);

SIZE(gn2_probe_stats, 120);
AT(gn2_probe_stats, struct_size, 0);
AT(gn2_probe_stats, kind, 4);
AT(gn2_probe_stats, name, 8);
AT(gn2_probe_stats, count, 16);
AT(gn2_probe_stats, mean_abs, 24);
AT(gn2_probe_stats, rms, 32);
AT(gn2_probe_stats, max_abs, 40);
AT(gn2_probe_stats, change_mean_abs, 48);
AT(gn2_probe_stats, change_rms, 56);
AT(gn2_probe_stats, dead_share, 64);
AT(gn2_probe_stats, gradient_rms, 72);
AT(gn2_probe_stats, update_rms, 80);
AT(gn2_probe_stats, reserved, 88);

SIZE(gn2_transport, 80);
AT(gn2_transport, struct_size, 0);
AT(gn2_transport, flags, 4);
AT(gn2_transport, rank, 8);
AT(gn2_transport, size, 12);
AT(gn2_transport, user, 16);
AT(gn2_transport, exchange, 24);
AT(gn2_transport, abort, 32);
AT(gn2_transport, close, 40);
AT(gn2_transport, set_timeout, 48);
AT(gn2_transport, exchange_parts, 56);
AT(gn2_transport, reserved, 64);

int main(void)
{
    return 0;
}
