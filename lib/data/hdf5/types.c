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

static size_t stored_size(hid_t type)
{
    return is_variable(type) ? STORED_REFERENCE : H5Tget_size(type);
}

/* Bytes that a record has more in the file than in memory; SIZE_MAX: not known. */
static size_t more_bytes(hid_t record)
{
    size_t more = 0;
    for (int i = 0; i < H5Tget_nmembers(record); i++) {
        const hid_t type = H5Tget_member_type(record, (unsigned)i);
        const int nested =
            !is_variable(type) &&
            (H5Tget_class(type) == H5T_COMPOUND || H5Tget_class(type) == H5T_ARRAY) &&
            (H5Tdetect_class(type, H5T_VLEN) > 0 ||
             H5Tdetect_class(type, H5T_STRING) > 0);
        more += stored_size(type) - H5Tget_size(type);
        H5Tclose(type);
        if (nested) return SIZE_MAX;
    }
    return more;
}

static void insert_stored(hid_t stored, hid_t record, unsigned i, size_t offset)
{
    const hid_t type = H5Tget_member_type(record, i);
    char *name = H5Tget_member_name(record, i);
    const hid_t opaque =
        is_variable(type) ? H5Tcreate(H5T_OPAQUE, STORED_REFERENCE) : -1;
    if (name) H5Tinsert(stored, name, offset, opaque >= 0 ? opaque : type);
    H5free_memory(name);
    if (opaque >= 0) H5Tclose(opaque);
    H5Tclose(type);
}

hid_t gn2_hdf5_stored(hid_t record)
{
    const size_t more = more_bytes(record);
    if (more == SIZE_MAX) return -1;
    if (more == 0) return H5Tcopy(record);
    const hid_t stored = H5Tcreate(H5T_COMPOUND, H5Tget_size(record) + more);
    size_t shift = 0;
    for (int i = 0; i < H5Tget_nmembers(record); i++) {
        const hid_t type = H5Tget_member_type(record, (unsigned)i);
        insert_stored(stored, record, (unsigned)i,
                      H5Tget_member_offset(record, (unsigned)i) + shift);
        shift += stored_size(type) - H5Tget_size(type);
        H5Tclose(type);
    }
    return stored;
}
