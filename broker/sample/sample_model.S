// The sample model's file as bytes of the program; none where SPOLIA_SAMPLE_MODEL does not name it.
// The size is a number of its own: compilers take two symbols for two addresses.

    .section .rodata
    .global spolia_sample_model
    .type spolia_sample_model, %object
    .balign 64
spolia_sample_model:
#ifdef SPOLIA_SAMPLE_MODEL
    .incbin SPOLIA_SAMPLE_MODEL
#endif
sample_model_end:
    .size spolia_sample_model, sample_model_end - spolia_sample_model

    .global spolia_sample_model_size
    .type spolia_sample_model_size, %object
    .balign 8
spolia_sample_model_size:
    .quad sample_model_end - spolia_sample_model
    .size spolia_sample_model_size, 8

    .section .note.GNU-stack, "", %progbits
