// input_file.hpp - a file to read a text or lines from.
#pragma once

#include <filesystem>
#include <fstream>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

// Opened for reading, byte for byte. Throws Error, naming the file, if it is a folder (which
// would read as an empty file) or cannot be opened.
std::ifstream open_input(const std::filesystem::path& path);

}  // namespace kvlab
