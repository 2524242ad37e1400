// source_lines.cpp - chapter 4: from addresses of instructions to lines of source, by
// addr2line, which comes with the compiler. Only a fault asks, so one process for it
// is cheap enough.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "program_image.hpp"

namespace kvlab::simt {

namespace {

std::string quoted(const std::string& path) {
    std::string text = "'";
    for (const char c : path) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return text + "'";
}

std::string output_of(const std::string& command) {
    std::string text;
    if (std::FILE* pipe = popen(command.c_str(), "r")) {
        char part[1024];
        while (std::fgets(part, sizeof part, pipe) != nullptr) text += part;
        pclose(pipe);
    }
    return text;
}

// "folder/file.cu:12 (discriminator 3)" without folders; an unknown one stays empty.
Fault::Place parse_place(const std::string& line) {
    const std::size_t colon = line.rfind(':');
    if (colon == std::string::npos || line.starts_with("??")) return {};
    const std::size_t slash = line.rfind('/', colon);
    const std::size_t first = slash == std::string::npos ? 0 : slash + 1;
    const int number = std::atoi(line.c_str() + colon + 1);
    if (number <= 0) return {};
    return {line.substr(first, colon - first), number};
}

bool is_ours(const std::string& line) {
    return line.find("/include/kvlab/cuda/") != std::string::npos;
}

}  // namespace

std::vector<Fault::Place> ProgramImage::places(
    std::span<const void* const> return_addresses) const {
    std::vector<Fault::Place> found(return_addresses.size());
    if (found.empty() || path_.empty()) return found;
    // -a prints each address before its lines, the innermost function first (-i).
    std::string command = "addr2line -a -i -e " + quoted(path_);
    for (const void* address : return_addresses) {
        char text[32];
        const auto call = reinterpret_cast<std::uintptr_t>(address) - load_bias_ - 1;
        std::snprintf(text, sizeof text, " 0x%zx", static_cast<std::size_t>(call));
        command += text;
    }
    const std::string text = output_of(command + " 2>/dev/null");
    std::size_t number = 0;  // of the address whose lines these are, from 1
    for (std::size_t first = 0; first < text.size();) {
        const std::size_t end = std::min(text.find('\n', first), text.size());
        const std::string line = text.substr(first, end - first);
        first = end + 1;
        if (line.starts_with("0x"))
            ++number;
        else if (number >= 1 && number <= found.size() && found[number - 1].line == 0 &&
                 !is_ours(line))
            found[number - 1] = parse_place(line);
    }
    return found;
}

}  // namespace kvlab::simt
