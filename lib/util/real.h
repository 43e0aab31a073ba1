/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One source, two precisions. Files of the numeric core are compiled as they are
 * (float, what ships) and again with -DGN2_REAL_DOUBLE (the reference the tests
 * use). R(name) gives a symbol its precision; REAL(c) types a constant.
 */
#ifndef GN2_UTIL_REAL_H
#define GN2_UTIL_REAL_H

#ifdef GN2_REAL_DOUBLE
typedef double real;
#define R(name) name##_f64
#define REAL_EXP exp
#define REAL_LOG log
#define REAL_LOG1P log1p
#define REAL_SQRT sqrt
#define REAL_FABS fabs
#else
typedef float real;
#define R(name) name##_f32
#define REAL_EXP expf
#define REAL_LOG logf
#define REAL_LOG1P log1pf
#define REAL_SQRT sqrtf
#define REAL_FABS fabsf
#endif

#endif
