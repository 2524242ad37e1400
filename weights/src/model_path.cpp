#include <kvlab/weights/model_path.hpp>

#include <cstdlib>
#include <vector>

#include <kvlab/tensor/error.hpp>
#include <kvlab/weights/text.hpp>

namespace kvlab {

namespace fs = std::filesystem;

fs::path find_model(const std::string& name, const fs::path& source_weights) {
    std::error_code ignored;
    const fs::file_status given = fs::status(name, ignored);
    const bool folder = fs::is_directory(given);  // one called "tiny" hides no model
    if (fs::exists(given) && !folder) return name;
    std::vector<fs::path> folders;
    if (const char* own = std::getenv("KVLAB_WEIGHTS"); own && *own) folders.push_back(own);
    if (!source_weights.empty()) folders.push_back(source_weights);
    const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
    if (!ignored) folders.push_back(program.parent_path().parent_path() / "share" / "kvlab");
    std::string searched;
    for (const fs::path& place : folders) {
        for (const fs::path& base : {place, place / "downloads"})
            for (const std::string& file : {name, name + ".gguf"})
                if (fs::is_regular_file(base / file, ignored)) return base / file;
        searched += (searched.empty() ? "" : ", ") + place.string();
    }
    throw Error(concat("model ", quote(name, 200), ": expected a file, found ",
                       folder ? "a folder" : "none", " as given and none in ", searched,
                       "; weights/get_smollm2.py fetches SmolLM2"));
}

}  // namespace kvlab
