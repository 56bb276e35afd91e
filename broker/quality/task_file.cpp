#include "broker/quality/task_file.h"

#include <fstream>
#include <iostream>
#include <utility>

#include "broker/wire/fields.h"
#include "broker/wire/json.h"

namespace spolia {
namespace {

// An empty text where it is missing or wrong; then the fields have a complaint.
std::string required_text(Fields& fields, const char* name) {
    const std::string* text = fields.string(name);
    if (text == nullptr || text->empty()) {
        fields.fail(name, "must be a text that is not empty");
        return {};
    }
    return *text;
}

std::string optional_text(Fields& fields, const char* name, std::string fallback) {
    const std::string* text = fields.string(name);
    return text == nullptr ? std::move(fallback) : *text;
}

// Calls read(object's fields) for each object of an array.
template <class Read>
void read_objects(Fields& fields, const char* name, const Json& array, Read&& read) {
    for (size_t i = 0; i < array.size() && fields.ok(); ++i) {
        const std::string member = std::string(name) + "[" + std::to_string(i) + "]";
        if (!array[i].is_object()) return fields.fail(member, "must be an object");
        Fields inner(array[i], fields.path_of(member));
        read(inner);
        fields.adopt(inner);
    }
}

QualityQuestion read_question(Fields& fields, const std::string& kind) {
    QualityQuestion question;
    question.kind = optional_text(fields, "kind", kind);
    question.question = required_text(fields, "question");
    question.answer = required_text(fields, "answer");
    question.cross = fields.boolean("cross").value_or(false);
    if (const Json* history = fields.array("history")) {
        read_objects(fields, "history", *history, [&](Fields& turn) {
            std::string asked = required_text(turn, "question");
            question.history.push_back({std::move(asked), required_text(turn, "answer")});
        });
    }
    return question;
}

void read_chunks(Fields& fields, QualityTask& task) {
    const Json* chunks = fields.array("chunks");
    if (chunks == nullptr || chunks->empty()) {
        return fields.fail("chunks", "must be an array of at least one text");
    }
    for (size_t i = 0; i < chunks->size(); ++i) {
        const Json& chunk = (*chunks)[i];
        if (!chunk.is_string() || chunk.get_ref<const std::string&>().empty()) {
            return fields.fail("chunks[" + std::to_string(i) + "]",
                               "must be a text that is not empty");
        }
        task.chunks.push_back(chunk.get<std::string>());
    }
}

QualityTask read_task(Fields& fields) {
    QualityTask task;
    const std::string kind = required_text(fields, "kind");
    task.instructions = optional_text(fields, "instructions", {});
    read_chunks(fields, task);
    const Json* questions = fields.array("questions");
    if (questions == nullptr || questions->empty()) {
        fields.fail("questions", "must be an array of at least one question");
    } else {
        read_objects(fields, "questions", *questions, [&](Fields& question) {
            task.questions.push_back(read_question(question, kind));
        });
    }
    return task;
}

Result<QualityTask> parse_task(const std::string& line, const std::string& where) {
    const auto invalid = [&](const std::string& what) {
        return Error{ErrorCode::kInvalidArgument, where + what};
    };
    try {
        const Json json = Json::parse(line);
        if (!json.is_object()) return invalid("a JSON object is expected");
        Fields fields(json);
        QualityTask task = read_task(fields);
        if (!fields.ok()) return invalid(fields.fault().message);
        return task;
    } catch (const Json::parse_error& error) {
        return invalid("no JSON from column " + std::to_string(error.byte) + " on");
    } catch (const Json::exception&) {
        return invalid("no JSON: a number is out of range");
    }
}

}  // namespace

Result<std::vector<QualityTask>> read_tasks(std::istream& lines, std::string_view name) {
    std::vector<QualityTask> tasks;
    std::string line;
    int32_t number = 0;
    while (std::getline(lines, line)) {
        const std::string where = std::string(name) + ":" + std::to_string(++number) + ": ";
        if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
        if (number > kTaskLinesMax) {
            return Error{ErrorCode::kInvalidArgument, where + "more than " +
                                                          std::to_string(kTaskLinesMax) +
                                                          " lines: give a part of the file"};
        }
        Result<QualityTask> task = parse_task(line, where);
        if (!task) return std::move(task).error();
        task->line = number;
        tasks.push_back(std::move(task).value());
    }
    if (lines.bad()) return Error{ErrorCode::kIo, std::string(name) + ": can't be read"};
    if (tasks.empty()) {
        return Error{ErrorCode::kInvalidArgument, std::string(name) + ": no tasks in it"};
    }
    return tasks;
}

Result<std::vector<QualityTask>> read_task_file(const std::string& path) {
    if (path == "-") return read_tasks(std::cin, "stdin");
    std::ifstream file(path);
    if (!file) return Error{ErrorCode::kNotFound, path + ": no such file, or it can't be read"};
    return read_tasks(file, path);
}

}  // namespace spolia
