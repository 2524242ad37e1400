// version.hpp - chapter 1: which kvlab this is.
#pragma once

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

// Such as "1.2.3", from the line project() of the project's CMakeLists.txt.
const char* version();

}  // namespace kvlab
