#include <kvlab/weights/model_path.hpp>

#include <cstdlib>
#include <initializer_list>
#include <vector>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/text.hpp>

namespace kvlab {

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> data_folders(const fs::path& source_weights) {
    std::vector<fs::path> folders;
    if (const char* own = std::getenv("KVLAB_WEIGHTS"); own && *own) folders.push_back(own);
    if (!source_weights.empty()) folders.push_back(source_weights);
    std::error_code failed;
    const fs::path program = fs::read_symlink("/proc/self/exe", failed);
    if (!failed) folders.push_back(program.parent_path().parent_path() / "share" / "kvlab");
    return folders;
}

// `name` as given, or the first of `files` in one of the folders.
fs::path find_file(const char* kind,
                   const std::string& name,
                   std::initializer_list<std::string> files,
                   const fs::path& source_weights,
                   const char* hint) {
    std::error_code ignored;
    const fs::file_status given = fs::status(name, ignored);
    const bool folder = fs::is_directory(given);  // one called "tiny" hides no model
    if (fs::exists(given) && !folder) return name;
    std::string searched;
    for (const fs::path& place : data_folders(source_weights)) {
        for (const fs::path& base : {place, place / "downloads"})
            for (const std::string& file : files)
                if (fs::is_regular_file(base / file, ignored)) return base / file;
        searched += (searched.empty() ? "" : ", ") + place.string();
    }
    throw Error(concat(kind, " ", quote(name, 200), ": expected a file, found ",
                       folder ? "a folder" : "none", " as given and none in ", searched, hint));
}

}  // namespace

fs::path find_model(const std::string& name, const fs::path& source_weights) {
    return find_file("model", name, {name, name + ".gguf"}, source_weights,
                     "; weights/get_smollm2.py fetches SmolLM2");
}

fs::path find_text(const std::string& name, const fs::path& source_weights) {
    return find_file("text", name, {name}, source_weights, "");
}

}  // namespace kvlab
