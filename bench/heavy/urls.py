from django.contrib import admin
from django.urls import include, path
from rest_framework.routers import DefaultRouter
from shop import views

router = DefaultRouter()
router.register("items", views.Items)
urlpatterns = [path("mark/", views.mark), path("api/", include(router.urls)), path("admin/", admin.site.urls)]
