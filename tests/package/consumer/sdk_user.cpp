// Uses an installed Spolia through its public headers.
#include <spolia/broker.h>

int main() { return 0; }
