from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path


def hello(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "page.html", {"rows": range(50), "title": "Numbers"})


urlpatterns = [path("", hello), path("page/", page)]
