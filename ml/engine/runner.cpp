// Reference runner of a Sonobank engine bundle in C++17 on ONNX Runtime's C API. Research use only. In the bundle's folder, after
// `sha256sum -c SHA256SUMS`: c++ -std=c++17 -O2 runner.cpp -I ORT/include -L ORT/lib -lonnxruntime -o runner && ./runner
// A frame is RGB, 8 bits, of exactly the input's size; the device scales, keeping the form, and fills what is left.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>
#include "onnxruntime_c_api.h"

static const OrtApi *ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
static void ok(OrtStatus *status) { if (status) { std::fprintf(stderr, "%s\n", ort->GetErrorMessage(status)); std::exit(2); } }
struct Found { std::array<float, 4> box; float score; std::string label; };  // x0 y0 x1 y1 in pixels of the frame
struct Engine {  // engine.txt and model.onnx
  std::map<std::string, std::vector<float>> number; std::vector<std::string> classes, outputs; std::string name, version, decode;
  OrtEnv *env; OrtSessionOptions *options; OrtSession *session; OrtMemoryInfo *memory;
  ~Engine() { ort->ReleaseSession(session); ort->ReleaseSessionOptions(options); ort->ReleaseMemoryInfo(memory); ort->ReleaseEnv(env); }
  Engine() {
    std::ifstream spec("engine.txt");
    for (std::string key, word; spec >> key;) {
      if (key == "class") { std::getline(spec >> std::ws, word); classes.push_back(word); }
      else if (key == "output") { spec >> word; outputs.push_back(word); }
      else if (key == "name") spec >> name; else if (key == "version") spec >> version; else if (key == "decode") spec >> decode;
      else { size_t count; spec >> count; number[key].resize(count); for (float &one : number[key]) spec >> one; }
    }
    ok(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "sonobank", &env)); ok(ort->CreateSessionOptions(&options)); ok(ort->SetIntraOpNumThreads(options, 1));
    ok(ort->CreateSession(env, "model.onnx", options, &session));
    ok(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  }
  std::vector<Found> boxes(const std::vector<unsigned char> &frame) const {  // surest first
    const size_t height = number.at("size")[0], width = number.at("size")[1], plane = height * width;
    std::vector<float> planes(3 * plane);
    for (size_t channel = 0; channel < 3; channel++) {
      const float std_ = number.at("std")[channel], scale = 1 / (number.at("scale")[0] * std_), shift = number.at("mean")[channel] / std_;
      for (size_t at = 0; at < plane; at++) planes[channel * plane + at] = frame[3 * at + channel] * scale - shift;
    }
    const int64_t shape[4] = {1, 3, int64_t(height), int64_t(width)}; const char *images = "images";
    OrtValue *input = nullptr; std::vector<OrtValue *> answers(outputs.size()); std::vector<const char *> names;
    for (const std::string &one : outputs) names.push_back(one.c_str());
    ok(ort->CreateTensorWithDataAsOrtValue(memory, planes.data(), planes.size() * 4, shape, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
    const OrtValue *given = input;
    ok(ort->Run(session, nullptr, &images, &given, 1, names.data(), names.size(), answers.data()));
    std::vector<const float *> data(answers.size());
    for (size_t at = 0; at < answers.size(); at++) ok(ort->GetTensorMutableData(answers[at], (void **)&data[at]));
    OrtTensorTypeAndShapeInfo *info; int64_t sizes[3]; ok(ort->GetTensorTypeAndShape(answers[0], &info)); ok(ort->GetDimensions(info, sizes, 3));
    const bool is_yolo = decode == "yolo"; const size_t rows = is_yolo ? sizes[2] : sizes[1];
    std::vector<Found> all;
    for (size_t row = 0; row < rows; row++) {  // yolo: (1, 4 + classes, rows) of centre and size; else (1, rows, 4) and (1, rows, classes)
      auto edge = [&](size_t n) { return is_yolo ? data[0][n * rows + row] : data[0][row * 4 + n]; };
      auto sure = [&](size_t n) { return is_yolo ? data[0][(4 + n) * rows + row] : data[1][row * classes.size() + n]; };
      Found one{{edge(0), edge(1), edge(2), edge(3)}, sure(0), classes[0]};
      if (is_yolo) one.box = {edge(0) - edge(2) / 2, edge(1) - edge(3) / 2, edge(0) + edge(2) / 2, edge(1) + edge(3) / 2};
      for (size_t n = 1; n < classes.size(); n++) if (sure(n) > one.score) one.score = sure(n), one.label = classes[n];
      if (one.score >= number.at("threshold")[0]) all.push_back(one);
    }
    ort->ReleaseTensorTypeAndShapeInfo(info); ort->ReleaseValue(input);
    for (OrtValue *one : answers) ort->ReleaseValue(one);
    std::stable_sort(all.begin(), all.end(), [](const Found &a, const Found &b) { return a.score > b.score; });
    all.resize(std::min<size_t>(all.size(), 1000)); std::vector<Found> kept;  // each apart from the surer ones: non-maximum suppression over all classes
    for (const Found &one : all) {
      auto meets = [&](const Found &other) { return overlap(one.box, other.box) > number.at("nms_iou")[0]; };
      if (kept.size() < 100 && std::none_of(kept.begin(), kept.end(), meets)) kept.push_back(one);
    }
    for (Found &one : kept) for (int n = 0; n < 4; n++) one.box[n] = std::clamp(one.box[n], 0.0f, float(n % 2 ? height : width));
    auto is_flat = [](const Found &one) { return one.box[2] <= one.box[0] || one.box[3] <= one.box[1]; };
    kept.erase(std::remove_if(kept.begin(), kept.end(), is_flat), kept.end());
    return kept;
  }
  static float overlap(const std::array<float, 4> &a, const std::array<float, 4> &b) {  // intersection over union
    auto area = [](float x0, float y0, float x1, float y1) { return std::max(x1 - x0, 0.0f) * std::max(y1 - y0, 0.0f); };
    const float shared = area(std::max(a[0], b[0]), std::max(a[1], b[1]), std::min(a[2], b[2]), std::min(a[3], b[3]));
    const float both = area(a[0], a[1], a[2], a[3]) + area(b[0], b[1], b[2], b[3]) - shared;
    return both > 0 ? shared / both : 0;
  }
};

int main() {  // the test vectors
  const Engine engine; std::ifstream vectors("vectors.txt"); float pixels, scores; int wrong = 0;
  vectors >> pixels >> scores;
  for (std::string path; vectors >> path;) {
    size_t count; vectors >> count; std::ifstream file(path, std::ios::binary);
    const std::vector<unsigned char> frame((std::istreambuf_iterator<char>(file)), {});
    if (frame.size() != 3 * engine.number.at("size")[0] * engine.number.at("size")[1]) return std::puts("not of the input's size"), 2;
    const std::vector<Found> found = engine.boxes(frame); bool same = found.size() == count;
    for (size_t at = 0; at < count; at++) {
      Found want; for (float &edge : want.box) vectors >> edge;
      vectors >> want.score; std::getline(vectors >> std::ws, want.label);
      for (int n = 0; same && n < 4; n++) same = std::fabs(found[at].box[n] - want.box[n]) <= pixels;
      same = same && std::fabs(found[at].score - want.score) <= scores && found[at].label == want.label;
    }
    wrong += !same; std::printf("%s: %zu boxes, %s\n", path.c_str(), found.size(), same ? "as bundled" : "NOT as bundled");
  }
  std::printf("%s v%s: research use only\n", engine.name.c_str(), engine.version.c_str());
  return wrong ? 1 : 0;
}
