#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "index/result.h"

namespace spolia {

// What connections to one upstream speak TLS with: version 1.2 or later, its certificate checked.
class UpstreamTls {
public:
    using Stream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>;

    // With the system's certificates where `ca_file` is empty.
    static Result<std::unique_ptr<UpstreamTls>> open(const std::filesystem::path& ca_file);

    // Over `socket`, which must outlive it. The other side must be `host`, by its certificate.
    // Null when OpenSSL has no memory for it.
    std::unique_ptr<Stream> wrap(boost::asio::ip::tcp::socket& socket, const std::string& host);

private:
    UpstreamTls() : context_(boost::asio::ssl::context::tls_client) {}

    boost::asio::ssl::context context_;
};

}  // namespace spolia
