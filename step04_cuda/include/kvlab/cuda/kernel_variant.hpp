// kernel_variant.hpp - chapter 4: as which variant a CPU's compiler reads a kernel file: by
// default as the raw one, and with it the host's part. The build (kvlab_kernels() in
// cmake/KvlabKernels.cmake) says otherwise for the checked one.
#pragma once

#include <kvlab/tensor/compiler.hpp>

#ifndef KVLAB_KERNELS
#define KVLAB_KERNELS raw
#define KVLAB_IS_CHECKED 0
#define KVLAB_HOST_CODE 1
#else
#define KVLAB_HOST_CODE 0
#endif
