#include "services/persister/persister.h"

int main(int argc, char **argv)
{
    return service_main(&persister_service, argc, argv);
}
