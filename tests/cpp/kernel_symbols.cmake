# An object compiled for one instruction set defines nothing outside that set's own namespace.
#
# Anything else it defines, an inline function that was not inlined, say, could be merged with the code of the same name
# in another object: the linker keeps one of the two, and the wrong one crashes a CPU without those instructions.
#
# cmake -DNM=nm -DISA=avx2 -DOBJECTS=a.o;b.o -P kernel_symbols.cmake
string(LENGTH ${ISA} length)
# How the mangled names of namespace spectrans::<isa> begin, and of what is local to its functions.
set(own "_ZZ?N9spectrans${length}${ISA}")
set(entries 0)
set(strangers "")
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} --defined-only --extern-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^ \n]+ [^ \n]+\n" symbols "${symbols}")
  foreach(symbol IN LISTS symbols)
    string(REGEX MATCH "[^ \n]+\n" name "${symbol}")
    if(name MATCHES "^${own}")
      math(EXPR entries "${entries} + 1")
    else()
      string(APPEND strangers "  ${symbol}")
    endif()
  endforeach()
endforeach()
if(strangers)
  message(FATAL_ERROR "kernels_${ISA} defines symbols outside spectrans::${ISA}:\n${strangers}")
elseif(entries EQUAL 0)
  message(FATAL_ERROR "kernels_${ISA} defines no symbol in spectrans::${ISA}: was it read at all?")
endif()
message(STATUS "kernels_${ISA}: ${entries} entry points, nothing else")
