// formats.hpp - chapter 4: numbers by which kernels and host code name a weight's format.
#pragma once

namespace kvlab::kernels {

enum Format : int { kFormatF32, kFormatF16, kFormatBf16, kFormatQ80, kFormatQ40, kFormatQ41 };

}  // namespace kvlab::kernels
