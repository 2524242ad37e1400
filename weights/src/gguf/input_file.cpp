#include <kvlab/weights/input_file.hpp>

#include <cerrno>
#include <cstring>

#include <kvlab/tensor/error.hpp>

namespace kvlab {

std::ifstream open_input(const std::filesystem::path& path) {
    std::error_code ignored;
    check(!std::filesystem::is_directory(path, ignored), path.string(),
          ": cannot be read: expected a file, found a folder");
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    check(file.good(), path.string(), ": cannot be read: ", std::strerror(errno));
    return file;
}

}  // namespace kvlab
