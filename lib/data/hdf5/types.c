/* SPDX-License-Identifier: Apache-2.0 */
#include "data/hdf5/types.h"

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

static hid_t native_integer(int32_t size, int is_signed)
{
    switch (size) {
    case 1:
        return is_signed ? H5T_NATIVE_INT8 : H5T_NATIVE_UINT8;
    case 2:
        return is_signed ? H5T_NATIVE_INT16 : H5T_NATIVE_UINT16;
    case 4:
        return is_signed ? H5T_NATIVE_INT32 : H5T_NATIVE_UINT32;
    case 8:
        return is_signed ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64;
    default:
        return -1;
    }
}

static hid_t new_bool(void)
{
    const hid_t type = H5Tenum_create(H5T_NATIVE_INT8);
    const int8_t no = 0, yes = 1;
    H5Tenum_insert(type, "FALSE", &no);
    H5Tenum_insert(type, "TRUE", &yes);
    return type;
}

static hid_t native_float(int32_t size)
{
    if (size == 2) return new_half();
    if (size == 4) return H5Tcopy(H5T_NATIVE_FLOAT);
    return size == 8 ? H5Tcopy(H5T_NATIVE_DOUBLE) : -1;
}

hid_t gn2_hdf5_native(int32_t kind, int32_t size)
{
    if (kind == GN2_H5_FLOAT) return native_float(size);
    if (kind == GN2_H5_BOOL) return size == 1 ? new_bool() : -1;
    if (kind != GN2_H5_INT && kind != GN2_H5_UINT) return -1;
    const hid_t type = native_integer(size, kind == GN2_H5_INT);
    return type < 0 ? -1 : H5Tcopy(type);
}
