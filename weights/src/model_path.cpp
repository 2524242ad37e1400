#include <kvlab/weights/model_path.hpp>

#include <cstdlib>
#include <vector>

#include <kvlab/tensor/error.hpp>
#include <kvlab/weights/text.hpp>

namespace kvlab {

namespace fs = std::filesystem;

fs::path find_model(const std::string& name, const fs::path& source_weights) {
    std::error_code ignored;
    if (fs::exists(name, ignored)) return name;
    std::vector<fs::path> folders;
    if (const char* given = std::getenv("KVLAB_WEIGHTS"); given && *given)
        folders.push_back(given);
    if (!source_weights.empty()) folders.push_back(source_weights);
    const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
    if (!ignored) folders.push_back(program.parent_path().parent_path() / "share" / "kvlab");
    std::string searched;
    for (const fs::path& folder : folders) {
        for (const fs::path& base : {folder, folder / "downloads"})
            for (const std::string& file : {name, name + ".gguf"})
                if (fs::is_regular_file(base / file, ignored)) return base / file;
        searched += (searched.empty() ? "" : ", ") + folder.string();
    }
    throw Error(concat("model ", quote(name, 200),
                       ": expected a file, found none as given or in ", searched,
                       "; weights/get_smollm2.py fetches SmolLM2"));
}

}  // namespace kvlab
