#include <kvlab/tensor/version.hpp>

namespace kvlab {

const char* version() {
    return KVLAB_VERSION;
}

}  // namespace kvlab
