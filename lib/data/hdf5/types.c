/* SPDX-License-Identifier: Apache-2.0 */
#include "data/hdf5/types.h"

#include <stdint.h>

/* Half precision, of this machine's byte order. */
static hid_t new_half(void)
{
    const hid_t type = H5Tcopy(H5T_NATIVE_FLOAT);
    /* IEEE 754 binary16: sign bit 15, 5 bits of exponent, 10 of mantissa */
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

static hid_t new_bool(void)
{
    const hid_t type = H5Tenum_create(H5T_NATIVE_INT8);
    const int8_t no = 0, yes = 1;
    H5Tenum_insert(type, "FALSE", &no);
    H5Tenum_insert(type, "TRUE", &yes);
    return type;
}

hid_t gn2_hdf5_native(int32_t kind, int32_t size)
{
    const struct {
        int32_t kind, size;
        hid_t type;
    } own[] = {
        {GN2_H5_FLOAT, 4, H5T_NATIVE_FLOAT}, {GN2_H5_FLOAT, 8, H5T_NATIVE_DOUBLE},
        {GN2_H5_INT, 1, H5T_NATIVE_INT8},    {GN2_H5_UINT, 1, H5T_NATIVE_UINT8},
        {GN2_H5_INT, 2, H5T_NATIVE_INT16},   {GN2_H5_UINT, 2, H5T_NATIVE_UINT16},
        {GN2_H5_INT, 4, H5T_NATIVE_INT32},   {GN2_H5_UINT, 4, H5T_NATIVE_UINT32},
        {GN2_H5_INT, 8, H5T_NATIVE_INT64},   {GN2_H5_UINT, 8, H5T_NATIVE_UINT64},
    };
    if (kind == GN2_H5_FLOAT && size == 2) return new_half();
    if (kind == GN2_H5_BOOL && size == 1) return new_bool();
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (own[i].kind == kind && own[i].size == size) return H5Tcopy(own[i].type);
    return -1;
}

/* Of a text or list of any length in a file: length, address and index of a heap. */
#define STORED_REFERENCE 16

static int is_variable(hid_t type)
{
    return H5Tget_class(type) == H5T_VLEN || H5Tis_variable_str(type) > 0;
}

/* A member as a chunk has it; −1 where something of any length is nested in it. */
static hid_t stored_member(hid_t type)
{
    const H5T_class_t kind = H5Tget_class(type);
    if (is_variable(type)) return H5Tcreate(H5T_OPAQUE, STORED_REFERENCE);
    if ((kind == H5T_COMPOUND || kind == H5T_ARRAY) &&
        (H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tdetect_class(type, H5T_STRING) > 0))
        return -1;
    return H5Tcopy(type);
}

/* Adds a member `shift` bytes behind where it is in memory; gives the bytes that it has
 * more there, negative where it cannot be added. */
static int add_member(hid_t stored, hid_t record, unsigned i, size_t shift)
{
    const hid_t type = H5Tget_member_type(record, i), member = stored_member(type);
    const size_t at = H5Tget_member_offset(record, i) + shift;
    char *name = H5Tget_member_name(record, i);
    int more = -1;
    if (member >= 0 && name && H5Tinsert(stored, name, at, member) >= 0)
        more = (int)(H5Tget_size(member) - H5Tget_size(type));
    H5free_memory(name);
    if (member >= 0) H5Tclose(member);
    H5Tclose(type);
    return more;
}

hid_t gn2_hdf5_stored(hid_t record)
{
    const int count = H5Tget_nmembers(record);
    const size_t size = H5Tget_size(record);
    const hid_t stored =
        H5Tcreate(H5T_COMPOUND, size + (size_t)count * STORED_REFERENCE);
    size_t shift = 0;
    for (int i = 0; i < count; i++) {
        const int more = add_member(stored, record, (unsigned)i, shift);
        if (more < 0) {
            H5Tclose(stored);
            return -1;
        }
        shift += (size_t)more;
    }
    H5Tset_size(stored, size + shift);
    return stored;
}
