/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MKL takes its AVX-512 path on processors of Intel alone. Loaded before PyTorch
 * (LD_PRELOAD), this answers its question about the maker, so that PyTorch is measured
 * at what it could do on an AMD. all_peers.py compiles it.
 */
int mkl_serv_intel_cpu_true(void);

int mkl_serv_intel_cpu_true(void)
{
    return 1;
}
