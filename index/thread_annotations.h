#pragma once

#include <condition_variable>
#include <mutex>

// Clang's thread-safety analysis (-Wthread-safety): which lock guards what, checked when compiled.
// Other compilers see nothing of it.
#if defined(__clang__)
#define SPOLIA_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define SPOLIA_THREAD_ANNOTATION(x)
#endif

#define CAPABILITY(x) SPOLIA_THREAD_ANNOTATION(capability(x))
#define SCOPED_CAPABILITY SPOLIA_THREAD_ANNOTATION(scoped_lockable)
#define GUARDED_BY(x) SPOLIA_THREAD_ANNOTATION(guarded_by(x))
#define PT_GUARDED_BY(x) SPOLIA_THREAD_ANNOTATION(pt_guarded_by(x))
#define REQUIRES(...) SPOLIA_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) SPOLIA_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) SPOLIA_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASE(...) SPOLIA_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS SPOLIA_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace spolia {

class CAPABILITY("mutex") Mutex {
public:
    void lock() ACQUIRE() { mutex_.lock(); }
    void unlock() RELEASE() { mutex_.unlock(); }

private:
    std::mutex mutex_;
};

// Holds a Mutex for a scope.
class SCOPED_CAPABILITY MutexLock {
public:
    explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
    ~MutexLock() RELEASE() { mutex_.unlock(); }
    MutexLock(const MutexLock&) = delete;
    MutexLock& operator=(const MutexLock&) = delete;

private:
    Mutex& mutex_;
};

// A condition to wait for under a Mutex. Wakes up spuriously: wait in a loop.
class CondVar {
public:
    void wait(Mutex& mutex) REQUIRES(mutex) { condition_.wait(mutex); }
    void notify_one() { condition_.notify_one(); }
    void notify_all() { condition_.notify_all(); }

private:
    std::condition_variable_any condition_;
};

}  // namespace spolia
